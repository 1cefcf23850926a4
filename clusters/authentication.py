"""Ray's token: shown to a cluster that asks for one, and to no other.

A driver in token mode refuses calls that carry none. A cluster without authentication makes such
calls: it then takes the driver for dead and ends all its actors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from ray._private.authentication.authentication_token_setup import (
    AUTH_MODE_ENV_VAR,
    maybe_enable_token_auth_if_token_available,
)
from ray._private.services import canonicalize_bootstrap_address
from ray._raylet import Config  # type: ignore[attr-defined]
from ray.exceptions import AuthenticationError

# Any call of Ray's head; this one takes no arguments.
CALL = "/ray.rpc.NodeInfoGcsService/CheckAlive"
# A head that answers does so within milliseconds; a guess for one that is far or busy.
PATIENCE_S = 10.0


def asks_for_token(address: str) -> bool:
    """Return whether the cluster at "host:port" refuses a call without a token."""
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(CALL)(b"", timeout=PATIENCE_S)
        except grpc.RpcError as error:
            return bool(error.code() is grpc.StatusCode.UNAUTHENTICATED)
    return False


@contextmanager
def token_mode_restored() -> Iterator[None]:
    """Leave this process, at the end, in the token mode that it was in.

    Ray turns the token on in the environment and leaves it there, for processes that this one
    starts too: a cluster that those connect to may ask for none.
    """
    before = os.environ.get(AUTH_MODE_ENV_VAR)
    try:
        yield
    finally:
        if os.environ.get(AUTH_MODE_ENV_VAR) != before:
            os.environ.pop(AUTH_MODE_ENV_VAR, None)
            if before is not None:
                os.environ[AUTH_MODE_ENV_VAR] = before
            # Ray reads the environment again, as it does when it turns the token on.
            Config.initialize("")


@contextmanager
def matching_token(address: str | None) -> Iterator[None]:
    """Have this process show its token to the cluster at `address`, if that asks for one.

    None is a cluster of this process's own, which Ray starts with a token. A RAY_AUTH_MODE of
    the environment decides by itself. Raises AuthenticationError if there is no token to show.
    """
    if address == "auto":
        address = canonicalize_bootstrap_address(address)
    if address in (None, "local") or AUTH_MODE_ENV_VAR in os.environ:
        yield
    elif asks_for_token(address):
        if not maybe_enable_token_auth_if_token_available(warn_if_disabled=False):
            raise AuthenticationError(f"the cluster at {address} asks for a token")
        yield
    else:
        # Ray would turn the token on by itself for "auto".
        os.environ[AUTH_MODE_ENV_VAR] = "disabled"
        try:
            yield
        finally:
            del os.environ[AUTH_MODE_ENV_VAR]
