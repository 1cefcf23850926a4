"""Paddle's two modes, dynamic and static: entered for a trace, left as they were found."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import paddle
import paddle.base.dygraph.base
from paddle.jit.dy2static.program_translator import ProgramTranslator


def _let_this_thread_leave_dynamic_mode() -> None:
    """Make `paddle.enable_static` work in a thread other than the main one.

    Paddle keeps the mode by thread. A new thread finds itself in dynamic mode without
    having entered it, and so cannot leave it for a trace; Ray Train runs its loop in one.
    """
    state = paddle.base.framework.global_var
    if state._functional_dygraph_context_manager is None:
        state._dygraph_tracer_ = None
        paddle.disable_static()


def _forget_traced_parameters() -> None:
    """Drop the parameters that paddle noted while a model was traced.

    They are kept under the id of the traced program, and only an export takes them
    out again. A later export whose program is given the same id would find another
    model's parameters among its own: KeyError, now and then. It also keeps every
    traced model in memory.
    """
    ProgramTranslator.get_instance()._params_recorder.params_dict.clear()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Leave dynamic mode on afterwards, and print nothing.

    A trace that fails inside PaddleSlim leaves the whole process in static mode,
    and saving with PACT does so even when it succeeds.
    """
    _let_this_thread_leave_dynamic_mode()
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        paddle.disable_static()
        _forget_traced_parameters()


@contextlib.contextmanager
def tracing(program: paddle.static.Program) -> Iterator[None]:
    """Have layers that are called inside write their operators into the program."""
    with quietly():
        paddle.enable_static()
        with (
            paddle.static.program_guard(program, paddle.static.Program()),
            paddle.base.dygraph.base.to_static_mode_guard(is_to_static=True),
            paddle.base.framework._stride_in_no_check_dy2st_diff(),
        ):
            yield
