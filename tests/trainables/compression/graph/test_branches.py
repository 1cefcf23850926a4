"""Parts that can be taken out whole are found in the trace, and those that cannot with a reason."""

import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from tests.trainables.compression.branched import (
    FOUND,
    IMAGE,
    Block,
    Network,
    Paths,
    concatenated,
    fused,
    normed,
    residual,
)
from trainables.compression.graph.dependency import find_dependencies


def dependencies(network):
    model = network()
    model.eval()
    return find_dependencies(model, IMAGE)


def reasons(network):
    return {item.name: item.reason for item in dependencies(network).kept_branches}


@pytest.mark.parametrize("network", FOUND)
def test_the_branches_are_found(network):
    assert tuple(branch.name for branch in dependencies(network).branches) == FOUND[network]


def test_a_shortcut_with_a_convolution_stays():
    assert reasons(residual) == {"body.1.short": "a part of its sum or concatenation has to stay"}


def test_what_goes_with_a_branch():
    first, second, _ = dependencies(residual).branches
    assert (first.kind, first.passed, first.inside) == (
        "zeros",
        {"body.0.step0": (1, 1, 1, 1)},
        (),
    )
    assert {"body.0.step0.0.weight", "body.0.step1.0.weight", "body.0.step1.1._mean"} <= {
        *first.weights
    }
    assert all(weight.startswith("body.0.") for weight in first.weights)
    assert not any(weight.startswith("body.1.short") for weight in second.weights)


def test_a_branch_within_a_branch():
    fuse, inner, _ = dependencies(fused).branches
    assert (fuse.kind, fuse.inside) == ("sized_zeros", ())
    assert inner.inside == (fuse.name,)
    assert set(inner.weights) < set(fuse.weights)


def test_a_concatenated_branch_takes_its_group_with_it():
    found = dependencies(concatenated)
    right = found.branches[0]
    (name,) = right.groups
    group = next(group for group in found.groups if group.name == name)
    assert right.kind == "nothing" and group.count == 8
    last = next(layer for layer in found.layers if layer.name == "body.0.last.0")
    assert last.inputs[right.name] == last.inputs[name] == 0.5
    gone = [layer.name for layer in found.layers if right.name in layer.branches]
    assert gone == ["body.0.right.0.0", "body.0.right.2.0"]


class Plain(nn.Layer):
    def __init__(self):
        super().__init__()
        self.one, self.two = normed(8, 8), normed(8, 8)

    def forward(self, x):
        return F.relu(self.two(F.relu(self.one(x))))


def test_a_chain_has_no_branch():
    found = dependencies(lambda: Network(Plain()))
    assert found.branches == () and found.kept_branches == ()


class Shared(Block):
    """Its second layer runs twice."""

    def forward(self, x):
        y = self.steps[1](F.relu(self.steps[0](x)))
        return F.relu(x + self.steps[1](F.relu(y)))


class Looked(Block):
    """The branch's values are read once more, by what comes behind the block."""

    def __init__(self):
        super().__init__()
        self.other = normed(8, 8)

    def forward(self, x):
        y = self.steps[1](F.relu(self.steps[0](x)))
        return F.relu(x + y) + self.other(y)


@pytest.mark.parametrize("block", [Shared, Looked])
def test_a_sublayer_that_is_used_elsewhere_is_not_cut(block):
    names = [branch.name for branch in dependencies(lambda: Network(block())).branches]
    assert "body.step1" not in names


class Twice(nn.Layer):
    """Both parts of its sum can go, but not both."""

    def __init__(self):
        super().__init__()
        self.one, self.two = normed(8, 8, 1, 1), normed(8, 8)

    def forward(self, x):
        return F.relu(self.one(x) + self.two(x))


def test_of_two_parts_of_a_sum_the_dearer_can_go():
    found = dependencies(lambda: Network(Twice()))
    assert [branch.name for branch in found.branches] == ["body.two"]
    assert [item.name for item in found.kept_branches] == ["body.one"]


class Constant(nn.Layer):
    """A sum with a weight: nothing else remains of it."""

    def __init__(self):
        super().__init__()
        self.conv = normed(8, 8)
        # As many samples as a trace has.
        self.offset = self.create_parameter([2, 8, 8, 8])

    def forward(self, x):
        return F.relu(self.conv(x) + paddle.exp(self.offset))


def test_a_branch_without_which_the_output_is_constant_stays():
    assert dependencies(lambda: Network(Constant())).branches == ()
    assert reasons(lambda: Network(Constant())) == {
        "body.conv": "without it the model's outputs do not depend on its inputs"
    }


class Doubled(nn.Layer):
    """A map that a layer makes larger, and a pooling smaller again, before the sum."""

    def __init__(self):
        super().__init__()
        self.up = nn.Conv2DTranspose(8, 8, 2, stride=2)

    def forward(self, x):
        return F.relu(x + F.max_pool2d(self.up(x), 2))


def test_a_larger_output_that_is_resized_stays():
    assert reasons(lambda: Network(Doubled())) == {"body.up": "its output is larger than its input"}


class Auxiliary(Network):
    """In training a second head reads the first layer of the branch."""

    def __init__(self):
        super().__init__(Block())
        self.second = nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu(self.stem(x))
        inner = F.relu(self.body.step0(x))
        scores = self.head(F.relu(x + self.body.step1(inner)).mean([2, 3]))
        return [scores, self.second(inner.mean([2, 3]))] if self.training else scores


def test_what_an_auxiliary_head_reads_stays():
    assert dependencies(Auxiliary).branches == ()
    assert reasons(Auxiliary) == {"body.step1": "a part of it runs in training all the same"}


class Guided(nn.Layer):
    """A map guides a block, and is an output in training, as in OCRNet."""

    def __init__(self):
        super().__init__()
        self.stem = normed(3, 8)
        self.map, self.guide = normed(8, 4), normed(4, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu(self.stem(x))
        found = self.map(x)
        scores = self.head((x + self.guide(found)).mean([2, 3]))
        return [scores, found] if self.training else [scores]


def test_what_only_a_branch_reads_stays_if_it_is_an_output_in_training():
    assert reasons(Guided) == {"guide": "a part of it runs in training all the same"}
    # Nor may its channels be pruned.
    assert "map.0.weight" not in [group.name for group in dependencies(Guided).groups]


class Partly(Paths):
    """One path is read alone too."""

    def forward(self, x):
        right = F.relu(self.right(x))
        return F.relu(self.last(paddle.concat([F.relu(self.left(x)), right], 1))) + right


def test_a_path_that_is_concatenated_and_added_stays():
    found = dependencies(lambda: Network(Partly()))
    assert "body.right" not in [branch.name for branch in found.branches]
    assert (
        reasons(lambda: Network(Partly()))["body.right"]
        == "is both added to others and concatenated with them"
    )
