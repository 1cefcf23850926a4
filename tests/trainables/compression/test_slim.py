import threading

import paddle
import pytest
from paddle import nn
from paddle.jit.dy2static.program_translator import ProgramTranslator

from tests.tiny.mine import Mine
from trainables.compression.slim import ChannelPruner, QuantizationAware, drop_backups
from trainables.task import ModelInput


class Fails(nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(1, 4, 3)

    def forward(self, x):
        raise ValueError("in the middle of a trace")


def test_failed_trace_leaves_the_process_in_dynamic_mode():
    with pytest.raises(ValueError):
        ChannelPruner(Fails(), (ModelInput("x", (1, 8, 8)),))
    assert paddle.in_dynamic_mode()


def test_a_trace_leaves_no_parameters_for_a_later_export_to_find(tiny_weights):
    """Paddle notes them under the id of a program that is soon gone, and ids come again."""
    task = Mine(tiny_weights)
    ChannelPruner(task.build_model(), task.inputs)
    assert ProgramTranslator.get_instance()._params_recorder.params_dict == {}


def test_names_are_structured_and_survive_a_second_model(tiny_weights):
    task = Mine(tiny_weights)
    first = ChannelPruner(task.build_model(), task.inputs).groups()
    second = ChannelPruner(task.build_model(), task.inputs).groups()
    assert first == second
    assert set(first) == {"conv1.weight", "conv2.weight"}


def test_restore_undoes_a_prune(tiny_weights):
    task = Mine(tiny_weights)
    model = task.build_model()
    before = {name: p.numpy() for name, p in model.named_parameters()}
    pruner = ChannelPruner(model, task.inputs)
    pruner.prune({"conv1.weight": 0.5})
    assert model.conv1.weight.shape[0] == 8
    pruner.restore()
    assert all((p.numpy() == before[name]).all() for name, p in model.named_parameters())


def test_backups_are_dropped(tiny_weights):
    task = Mine(tiny_weights)
    model = task.build_model()
    ChannelPruner(model, task.inputs).prune({"conv1.weight": 0.5})
    assert any("backup" in name for name in model.state_dict())
    drop_backups(model)
    assert not any("backup" in name for name in model.state_dict())


def test_producers_are_those_that_lose_outputs(tiny_weights):
    task = Mine(tiny_weights)
    pruner = ChannelPruner(task.build_model(), task.inputs)
    producers = pruner.producers("conv1.weight")
    assert "conv1.weight" in producers
    assert "conv2.weight" not in producers


def test_a_thread_can_trace(tiny_weights):
    """Ray Train runs its loop in a thread, where paddle's mode is another."""
    found = {}

    def work():
        task = Mine(tiny_weights)
        model = task.build_model()
        ChannelPruner(model, task.inputs).prune({"conv1.weight": 0.5})
        found["shape"] = model.conv1.weight.shape
        found["dynamic"] = paddle.in_dynamic_mode()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == {"shape": [8, 1, 3, 3], "dynamic": True}


def test_pact_clips_learnably_and_export_ends_in_dynamic_mode(tiny_weights, tmp_path):
    task = Mine(tiny_weights)
    model = task.build_model()
    quantization = QuantizationAware(model, pact=True)
    assert any("alpha" in name for name, _ in model.named_parameters())
    model.train()
    model(paddle.rand([4, 1, 14, 14]))
    quantization.export(task.inputs, tmp_path)
    assert (tmp_path / "inference.pdmodel").is_file()
    assert paddle.in_dynamic_mode()
