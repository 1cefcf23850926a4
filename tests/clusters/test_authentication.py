"""Ray's token is shown to clusters that ask for one, and to no other: a real gRPC server answers as
Ray's head does."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import grpc
import pytest
from ray.exceptions import AuthenticationError

from clusters import ray_quirks
from clusters.authentication import asks_for_token, matching_token
from tests.helpers.child import run_in_child


@pytest.fixture(params=[True, False], ids=["with token", "without"])
def head(request):
    """A server's address, and whether it asks for a token."""

    def answer(_, context):
        if request.param and "authorization" not in dict(context.invocation_metadata()):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
        return b""

    service, method = ray_quirks.CHECK_ALIVE.strip("/").split("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(answer)}
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", request.param
    server.stop(None)


@pytest.fixture
def shown(monkeypatch):
    """How often the token was turned on; there is one."""
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    calls = []

    def turn_on():
        calls.append("on")
        return True

    monkeypatch.setattr(ray_quirks, "show_token", turn_on)
    return calls


def test_a_cluster_that_asks_for_a_token_is_shown_it_and_no_other(head, shown):
    address, asks = head
    assert asks_for_token(address) is asks
    with matching_token(address):
        # Ray turns the token on by itself, where this does not keep it from it.
        assert os.environ.get("RAY_AUTH_MODE") == (None if asks else "disabled")
    assert len(shown) == asks and "RAY_AUTH_MODE" not in os.environ


RESTORED = """
import os
from ray._raylet import AuthenticationMode, Config, get_authentication_mode
from clusters.authentication import token_mode_restored
before = os.environ.get("RAY_AUTH_MODE")
with token_mode_restored():
    # As ray.init does for a cluster of this process's own.
    os.environ["RAY_AUTH_MODE"] = "token"
    Config.initialize("")
    assert get_authentication_mode() is AuthenticationMode.TOKEN
assert os.environ.get("RAY_AUTH_MODE") == before
assert get_authentication_mode() is AuthenticationMode.DISABLED
"""


@pytest.mark.parametrize("before", [{}, {"RAY_AUTH_MODE": "disabled"}], ids=["unset", "disabled"])
def test_a_process_is_left_in_the_mode_it_was_in(before, tmp_path):
    run_in_child(RESTORED, HOME=str(tmp_path), **before)


def test_what_the_environment_says_and_a_cluster_of_ones_own_are_left_alone(shown, monkeypatch):
    with matching_token(None), matching_token("local"):
        assert "RAY_AUTH_MODE" not in os.environ
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with matching_token("127.0.0.1:1"):
        assert os.environ["RAY_AUTH_MODE"] == "token"
    assert not shown


def test_a_token_that_is_not_there_cannot_be_shown(head, shown, monkeypatch):
    address, asks = head
    monkeypatch.setattr(ray_quirks, "show_token", lambda: False)
    refused = pytest.raises(AuthenticationError, match="asks for a token")
    with refused if asks else nullcontext(), matching_token(address):
        assert not asks


def test_where_nothing_answers_ray_says_so(shown):
    assert not asks_for_token("127.0.0.1:1")
