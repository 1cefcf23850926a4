import numpy as np
import paddle
import pytest

from spaces.plan import Plan, QuantizationChoice
from tests.helpers.tiny.mine import Mine
from trainables.distillation import (
    ENTRY_BYTES,
    SAMPLES_WITHOUT_HIT,
    TEMPERATURE,
    Distillation,
    Teacher,
    divergence,
    load_teacher,
    matching,
    remark_if_off,
    squared_error,
)
from trainables.evaluation import eager, evaluate
from trainables.remarks import collected
from trainables.settings import WorkerSettings
from trainables.training import Trainer
from trainables.weights import fingerprint, model_weights


class Doubled:
    """A teacher's engine that counts its samples and doubles them."""

    def __init__(self):
        self.samples = 0

    def __call__(self, inputs):
        self.samples += len(inputs[0])
        return [2 * inputs[0]]


def rows(*values):
    return [np.array(values, "float32").reshape(-1, 1)]


def test_samples_that_repeat_are_taken_from_the_cache_in_their_order():
    run = Doubled()
    teacher = Teacher(run)
    teacher.outputs(rows(1, 2, 3))
    (found,) = teacher.outputs(rows(3, 4, 1))
    assert found.tolist() == [[6], [8], [2]]
    assert run.samples == 4
    assert (teacher.samples, teacher.hits) == (6, 2)


def test_the_cache_stops_at_its_limit():
    run = Doubled()
    teacher = Teacher(run, limit_bytes=2 * (ENTRY_BYTES + 4))
    for _ in range(2):
        (found,) = teacher.outputs(rows(1, 2, 3))
        assert found.tolist() == [[2], [4], [6]]
    assert run.samples == 4


def test_data_that_never_repeat_are_no_longer_cached():
    run = Doubled()
    teacher = Teacher(run)
    count = SAMPLES_WITHOUT_HIT + 1
    for _ in range(2):
        (found,) = teacher.outputs(rows(*range(count)))
        assert found[-1] == 2 * (count - 1)
    assert run.samples == 2 * count


def test_outputs_without_a_sample_axis_are_asked_for_every_time():
    teacher = Teacher(lambda inputs: [inputs[0].sum(keepdims=True)])
    for batch, total in ((rows(1, 2), 3), (rows(1, 2), 3), (rows(2, 5, 1), 8)):
        assert teacher.outputs(batch)[0].item() == total


def test_the_divergence_is_that_of_softened_classes():
    scores, taught = np.random.default_rng(0).standard_normal((2, 3, 5, 2, 2)).astype("float32")

    def softened(values):
        raised = np.exp(values / TEMPERATURE)
        return raised / raised.sum(1, keepdims=True)

    wanted, found = softened(taught), softened(scores)
    expected = TEMPERATURE**2 * (wanted * np.log(wanted / found)).sum(1).mean()
    given = divergence(paddle.to_tensor(scores), paddle.to_tensor(taught))
    assert float(given) == pytest.approx(expected, rel=1e-4)
    assert float(divergence(paddle.to_tensor(taught), paddle.to_tensor(taught))) == 0


def test_a_squared_error_has_no_unit():
    taught = paddle.to_tensor(np.arange(8, dtype="float32"))
    output = taught + 1
    assert float(squared_error(output, taught)) == pytest.approx(float(1 / taught.var()))
    scaled = float(squared_error(100 * output, 100 * taught))
    assert scaled == pytest.approx(float(squared_error(output, taught)))


def test_a_task_says_how_it_is_matched_before_its_metric():
    class Unknown:
        metric = object()

    assert matching(Mine()) == "class_scores"
    assert matching(Unknown()) == "values"
    task = Mine()
    task.distillation = "off"
    assert matching(task) == "off"


@pytest.fixture
def batch():
    return next(iter(Mine().train_batches(32, 0)))


def numbers(shape):
    values = np.random.default_rng(1).standard_normal(shape).astype("float32")
    return paddle.to_tensor(values)


def test_class_scores_share_the_loss_with_the_labels(batch):
    task, taught = Mine(), numbers((32, 10))
    outputs, targets = numbers((32, 10)) + 1.0 * taught[::-1], paddle.to_tensor(batch.targets)
    learner = Distillation(Teacher(lambda inputs: [taught.numpy()]), task, 0.9)
    found = float(learner.loss(outputs, targets, batch.inputs))
    expected = 0.9 * divergence(outputs, taught) + 0.1 * task.loss(outputs, targets)
    assert found == pytest.approx(float(expected))


def test_values_are_matched_beside_the_whole_loss_by_position_and_shape(batch):
    task, taught = Mine(), numbers((32, 10))
    task.distillation = "values"
    outputs, targets = 0.5 * taught, paddle.to_tensor(batch.targets)
    task.loss = lambda given, targets: given[0].mean()
    learner = Distillation(Teacher(lambda inputs: [taught.numpy()]), task, 0.9)
    # The second output is one of training alone.
    found = float(learner.loss([outputs, numbers((32, 3))], targets, batch.inputs))
    expected = 0.9 * squared_error(outputs, taught) + outputs.mean()
    assert found == pytest.approx(float(expected), rel=1e-4)


def test_a_task_names_the_outputs_that_its_export_has(batch):
    task, taught = Mine(), numbers((32, 1, 4, 4))
    task.distillation, task.exported = "values", lambda maps: maps[:, :1]
    task.loss = lambda maps, targets: 0 * maps.sum()
    learner = Distillation(Teacher(lambda inputs: [taught.numpy()]), task, 1.0)
    maps = paddle.concat([0.5 * taught, taught, taught], axis=1)
    found = float(learner.loss(maps, None, batch.inputs))
    assert found == pytest.approx(float(squared_error(0.5 * taught, taught)), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"distillation": "off"}, "turns it off"),
        ({"inputs": ()}, "other shapes"),
        ({"exported": lambda outputs: outputs[:, :3]}, "no output"),
        ({}, None),
    ],
)
def test_without_a_match_the_loss_is_the_tasks_and_a_remark_says_why(batch, change, words):
    task = Mine()
    model = task.build_model()
    for name, value in change.items():
        setattr(task, name, value)
    run = eager(Mine().build_model())
    with collected() as remarks:
        remark_if_off(model, run, task, WorkerSettings(distillation=0.9))
        remark_if_off(model, run, task, WorkerSettings(distillation=0))
    assert [words in remark for remark in remarks] == ([] if words is None else [True])
    outputs, targets = model(paddle.to_tensor(batch.inputs[0])), paddle.to_tensor(batch.targets)
    loss = float(Distillation(Teacher(run), task, 0.9).loss(outputs, targets, batch.inputs))
    assert (loss == float(task.loss(outputs, targets))) == (words is not None)


def test_an_untrained_model_learns_from_the_trained_one_alone(tiny_weights):
    task = Mine(tiny_weights)
    teacher = Teacher(eager(task.build_model()))
    weights, metrics = [], []
    for _ in range(2):
        paddle.seed(0)
        model = Mine().build_model()
        options = {"steps": 100, "learning_rate": 0.05, "batch_size": 32, "seed": 0}
        Trainer(model, task, distillation=Distillation(teacher, task, 1.0), **options).run(100)
        weights.append(fingerprint(model_weights(model)))
        metrics.append(task.metric.aggregate(evaluate(eager(model), task, "val", 100)))
    assert weights[0] == weights[1]
    assert min(metrics) > 0.4
    # Two epochs of 50 batches, twice: each sample is asked of the network once.
    assert teacher.samples == 6400 and teacher.hits == 4800


def test_a_worker_trains_with_the_baselines_export_as_teacher(context, monkeypatch):
    teacher = load_teacher(context.settings, context.baseline_engine, context.latency_batches[0])
    (found,) = teacher.outputs(context.latency_batches[0])
    (expected,) = context.baseline_engine.run(context.latency_batches[0])
    assert np.sqrt(((found - expected) ** 2).mean()) <= 0.05 * expected.std()
    plan = Plan.of({"conv1.weight": 0.5, "conv2.weight": 0.5}, QuantizationChoice.FLOAT)
    model = context.task.build_model()

    def trainer(plan, level=1, share=0.5):
        return context.trainer(
            model, plan=plan, samples=64, seed=0, level=level, learning_rate_share=share
        )

    taught = trainer(plan)
    taught.run(2)
    assert context.teacher.samples == 64
    # A short first level is by the labels alone, and the only level is not a short one.
    (only,) = context.levels
    assert trainer(plan, level=0).distillation is not None
    monkeypatch.setattr(context, "levels", (only, only))
    untaught = trainer(plan, level=0)
    assert untaught.distillation is None and untaught.steps >= taught.steps
    # The unpruned model has nothing to learn from itself, and a training without effect nothing.
    assert trainer(Plan()).distillation is None
    assert trainer(plan, share=0.0).distillation is None
    monkeypatch.setattr(context, "settings", context.settings.having(distillation=0))
    assert trainer(plan).distillation is None
