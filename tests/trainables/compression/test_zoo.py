"""The groups of paddle.vision's models, compared with PaddleSlim's where those are right."""

import paddle
import pytest

import trainables.compression.slim  # noqa: F401  makes PaddleSlim work with this paddle
from trainables.compression.graph.dependency import find_dependencies
from trainables.compression.graph.modes import quietly
from trainables.task import ModelInput

# Models whose last layers need this input size.
SIDES = {"vgg11": 224, "squeezenet1_0": 224}


def slim_groups(model, side):
    """Return the parameters and axes of each of PaddleSlim's groups."""
    import paddleslim.dygraph

    with quietly():
        pruner = paddleslim.dygraph.L1NormFilterPruner(model, [1, 3, side, side])
    names = {parameter.name: name for name, parameter in model.named_parameters()}
    return {
        names[collection.master_name]: {
            (names[detail.name], detail.axis)
            for detail in collection.all_pruning_details()
            if detail.name in names
        }
        for collection in pruner.collections
    }


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("resnet18", 0),
        ("mobilenet_v1", 0),
        # Two classifiers behind a flatten.
        ("vgg11", 2),
        ("mobilenet_v3_small", 1),
        # PaddleSlim does not prune concatenated channels.
        ("squeezenet1_0", 16),
        # Behind channel shuffles, a group whose channels do not all depend on each other.
        ("shufflenet_v2_x0_25", 1),
        pytest.param("resnet50", 0, marks=pytest.mark.slow),
        pytest.param("mobilenet_v2", 1, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_large", 1, marks=pytest.mark.slow),
    ],
)
def test_every_group_that_paddleslim_finds_is_found_and_is_the_same(name, more):
    side = SIDES.get(name, 64)
    model = getattr(paddle.vision.models, name)(num_classes=10)
    model.eval()
    parameters = dict(model.named_parameters())
    found = find_dependencies(model, (ModelInput("image", (3, side, side)),)).groups
    ours = {
        group.name: {(s.weight, s.axis) for s in group.slices if s.weight in parameters}
        for group in found
    }
    theirs = slim_groups(model, side)
    assert theirs.keys() <= ours.keys()
    assert {name: ours[name] for name in theirs} == theirs
    assert len(ours) == len(theirs) + more
