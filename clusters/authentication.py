"""Ray's token: shown to a cluster that asks for one, and to no other.

A driver in token mode refuses calls that carry none. A cluster without authentication makes such
calls: it then takes the driver for dead and ends all its actors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from ray.exceptions import AuthenticationError

from clusters import ray_quirks
from clusters.ray_quirks import TOKEN_MODE

# A head answers within milliseconds. A guess for one that is far away or busy.
PATIENCE_S = 10.0


def asks_for_token(address: str) -> bool:
    """Return whether the cluster at "host:port" refuses a call without a token."""
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(ray_quirks.CHECK_ALIVE)(b"", timeout=PATIENCE_S)
        except grpc.RpcError as error:
            return bool(error.code() is grpc.StatusCode.UNAUTHENTICATED)
    return False


@contextmanager
def token_mode_restored() -> Iterator[None]:
    """Put this process back, at the end, into the token mode that it was in.

    Ray turns the token on in the environment and leaves it on, also for processes that this one
    starts. A cluster that they connect to may ask for none.
    """
    before = os.environ.get(TOKEN_MODE)
    try:
        yield
    finally:
        if os.environ.get(TOKEN_MODE) != before:
            os.environ.pop(TOKEN_MODE, None)
            if before is not None:
                os.environ[TOKEN_MODE] = before
            ray_quirks.reread_token_mode()


@contextmanager
def matching_token(address: str | None) -> Iterator[None]:
    """Have this process show its token to the cluster at `address`, if that asks for one.

    None stands for a cluster of this process's own, which Ray starts with a token. RAY_AUTH_MODE in
    the environment overrides all of this. Raises AuthenticationError if there is no token to show.
    """
    if address in (None, "local") or TOKEN_MODE in os.environ:
        yield
        return
    head = ray_quirks.head_address(address)
    if asks_for_token(head):
        if not ray_quirks.show_token():
            raise AuthenticationError(f"the cluster at {head} asks for a token")
        yield
    else:
        # For "auto" Ray would turn the token on by itself.
        os.environ[TOKEN_MODE] = "disabled"
        try:
            yield
        finally:
            del os.environ[TOKEN_MODE]
