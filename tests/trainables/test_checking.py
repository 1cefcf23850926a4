import pytest

from trainables.checking import check_task


def test_a_good_task_meets_every_demand(tiny_weights):
    demands = check_task("tests.helpers.tiny.mine:make_task", {"weights": str(tiny_weights)})
    assert [d for d in demands if not d.met] == []
    assert "2 groups can be pruned" in next(d.said for d in demands if d.name == "pruning groups")


def test_each_broken_demand_is_explained(tiny_weights):
    demands = check_task("tests.helpers.tiny.mine:make_broken", {"weights": str(tiny_weights)})
    said = {demand.name: demand.said for demand in demands if not demand.met}
    assert "(1, 14, 14)" in said["eval_batches"]
    assert "(1, 28, 28)" in said["eval_batches"]
    assert "shape" in said["train_batches"]
    assert "'nowhere' is not in the model" in said["pruning groups"]


def test_untrained_weights_are_noticed():
    demands = check_task("tests.helpers.tiny.mine:make_task", {})
    said = {demand.name: demand.said for demand in demands if not demand.met}
    assert "trained weights" in said["build_model"]


def test_a_task_that_cannot_be_loaded_is_one_unmet_demand():
    demands = check_task("tests.helpers.tiny.mine:nothing", {})
    assert len(demands) == 1
    assert "no function 'nothing'" in demands[0].said


def unusual(network):
    demands = check_task("tests.helpers.tiny.unusual:make_task", {"network": network})
    return {demand.name: demand for demand in demands}


@pytest.mark.parametrize(
    "network", ["weight norm", "spectral norm", "dict", "nested", "listed", "sequences"]
)
def test_unusual_networks_are_pruned_exported_and_quantized(network):
    found = unusual(network)
    assert [demand for demand in found.values() if not demand.met] == []
    # An embedding and two Conv1D layers of "sequences" are not trained in INT8.
    quantized = {"sequences": "1 of 4", "dict": "4 of 4", "nested": "4 of 4"}.get(network)
    said = found["quantization"].said
    assert said.startswith("int8_ptq runs; int8_qat quantizes ")
    assert quantized is None or f"quantizes {quantized} weights" in said
    groups = {"sequences": 3}.get(network, 2)
    assert found["pruning groups"].said == f"{groups} groups can be pruned"


def test_channels_last_are_refused_by_the_layers_name_with_the_remedy():
    found = unusual("channels last")
    assert found["pruning groups"].said == "2 groups can be pruned"
    assert not found["export"].met
    assert "layer first (Conv2D) has its channels last" in found["export"].said
    assert "build it with data_format='NCHW'" in found["export"].said
    assert len(found["export"].said) <= 300


def test_custom_layers_are_pruned_and_the_reason_against_int8_is_given():
    found = unusual("own layers")
    assert found["pruning groups"].said == "2 groups can be pruned"
    said = found["quantization"].said
    assert said.startswith("int8_ptq runs; int8_qat fails: int8_qat quantizes")
    assert "use int8_ptq" in said
