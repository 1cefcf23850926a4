"""Paddle's static mode, entered for a trace or an export; dynamic mode is always restored."""

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
    """Make `paddle.enable_static` work in any thread.

    The mode is per thread. A new thread is in dynamic mode without having entered it, and cannot
    leave it for a trace. Ray Train runs its loop in such a thread.
    """
    state = paddle.base.framework.global_var
    if state._functional_dygraph_context_manager is None:
        state._dygraph_tracer_ = None
        paddle.disable_static()


def _forget_traced_parameters() -> None:
    """Drop the parameters that Paddle recorded while a model was traced.

    Paddle records them under the id of the traced program, and only an export removes them. A
    later export whose program gets the same id finds another model's parameters: KeyError, now
    and then. The record also holds every traced model in memory.
    """
    ProgramTranslator.get_instance()._params_recorder.params_dict.clear()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Print nothing inside, and restore dynamic mode afterwards.

    A trace that fails inside PaddleSlim leaves the process in static mode; saving with PACT does
    so even when it succeeds.
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
    """Layers called inside append their operators to the program."""
    with quietly():
        paddle.enable_static()
        with (
            paddle.static.program_guard(program, paddle.static.Program()),
            paddle.base.dygraph.base.to_static_mode_guard(is_to_static=True),
            paddle.base.framework._stride_in_no_check_dy2st_diff(),
        ):
            yield
