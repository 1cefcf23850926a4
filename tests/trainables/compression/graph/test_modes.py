import threading

import paddle
import pytest
from paddle.jit.dy2static.program_translator import ProgramTranslator

from tests.trainables.compression.networks import IMAGE, Chain
from trainables.compression.graph.modes import quietly
from trainables.compression.pruner import ChannelPruner


def test_dynamic_mode_is_back_after_an_error():
    with pytest.raises(ValueError), quietly():
        paddle.enable_static()
        raise ValueError("in the middle of a trace")
    assert paddle.in_dynamic_mode()


def test_a_trace_leaves_no_parameters_for_a_later_export_to_find():
    """Paddle records them under the id of a program, and ids are reused."""
    ChannelPruner(Chain(), IMAGE)
    assert ProgramTranslator.get_instance()._params_recorder.params_dict == {}


def test_a_thread_can_trace():
    """Ray Train runs its loop in a thread, which has its own mode."""
    found = {}

    def work():
        model = Chain()
        ChannelPruner(model, IMAGE).prune({"first.weight": 0.5})
        found["shape"] = model.first.weight.shape
        found["dynamic"] = paddle.in_dynamic_mode()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == {"shape": [4, 3, 3, 3], "dynamic": True}


def test_nothing_is_printed(capfd):
    with quietly():
        print("a library talks")
    assert capfd.readouterr().out == ""
