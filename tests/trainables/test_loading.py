import subprocess
import sys
from itertools import count

import pytest

from spaces.errors import TaskError, WeightsError
from trainables.loading import BUILT_IN, load_task, resolve

# Every attribute of trainables.task.Task.
DEMANDS = [
    "name",
    "inputs",
    "metric",
    "recipe",
    "protected_layers",
    "build_model",
    "train_batches",
    "eval_batches",
    "loss",
]
COMPLETE = """
class Mine:
    name, inputs, metric, recipe, protected_layers = "mine", (), None, None, ()
    def __init__(self, size=1):
        self.size = size
    def build_model(self): ...
    def train_batches(self, batch_size, seed): ...
    def eval_batches(self, split, batch_size): ...
    def loss(self, outputs, targets): ...

def make_task(size=1):
    return Mine(size)
"""
NUMBERS = count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write an importable module under a new name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(source, package=None):
        name = f"written_{next(NUMBERS)}"
        folder = tmp_path
        if package is not None:
            (tmp_path / f"package_{name}").mkdir()
            (tmp_path / f"package_{name}" / "__init__.py").write_text(package)
            folder = tmp_path / f"package_{name}"
        (folder / f"{name}.py").write_text(source)
        return name if package is None else f"package_{name}.{name}"

    return make


def refusal(call, *arguments):
    """Return what the TaskError of a call says, which is always one line."""
    with pytest.raises(TaskError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    # The message names the task.
    assert repr(arguments[0]) in text
    return text


@pytest.mark.parametrize("attribute", ["make_task", "Mine"])
def test_a_function_or_a_class_makes_the_task(module, attribute):
    task = load_task(f"{module(COMPLETE)}:{attribute}")
    assert task.name == "mine"
    assert task.size == 1


def test_options_go_to_the_factory(module):
    assert load_task(f"{module(COMPLETE)}:make_task", {"size": 7}).size == 7


def test_a_module_inside_a_package_is_found(module):
    assert load_task(f"{module(COMPLETE, package='')}:make_task").name == "mine"


def test_the_built_in_task_is_found_by_its_name():
    assert resolve("fashion_mnist") == ("trainables.tasks.fashion_mnist.task", "make_task")


@pytest.mark.parametrize("spec", ["no_such", "module.only", ":make_task", "module:", ":", ""])
def test_an_unknown_name_is_refused_and_the_known_ones_are_named(spec):
    text = refusal(resolve, spec)
    assert all(name in text for name in BUILT_IN)
    assert "module:attribute" in text


@pytest.mark.parametrize(
    "spec", ["no_such:make_task", "no.such:make_task", "json.no_such:x", ".json:x", "json.tool.x:x"]
)
def test_a_module_that_is_not_there_is_refused(spec):
    text = refusal(resolve, spec)
    assert "no module" in text
    assert refusal(load_task, spec) == text


def test_resolving_does_not_import_the_task():
    """The driver resolves tasks, and tasks import paddle."""
    code = (
        "import sys; from trainables.loading import resolve; resolve('fashion_mnist');"
        "print('paddle' in sys.modules, 'trainables.tasks.fashion_mnist.task' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_refused(module, source, said):
    assert said in refusal(load_task, f"{module(source)}:make_task")


@pytest.mark.parametrize("source", ["", "make_task = 3"])
def test_an_attribute_that_is_no_function_is_refused(module, source):
    text = refusal(load_task, f"{module(source)}:make_task")
    assert "no function 'make_task'" in text


def test_options_that_the_factory_does_not_take_are_refused(module):
    text = refusal(load_task, f"{module(COMPLETE)}:make_task", {"sice": 7})
    assert "does not take sice" in text


def test_a_factory_that_needs_options_is_refused_without_them(module):
    text = refusal(load_task, f"{module('def make_task(weights): ...')}:make_task")
    assert "no options" in text
    assert "weights" in text


def test_missing_demands_are_named(module):
    source = "class Mine:\n    name = 'mine'\n    def loss(self, outputs, targets): ...\n"
    text = refusal(load_task, f"{module(source)}:Mine")
    missing = text.partition(" lacks ")[2].partition(";")[0].split(", ")
    assert missing == [name for name in DEMANDS if name not in ("name", "loss")]


@pytest.mark.parametrize("demand", DEMANDS)
def test_each_demand_is_required(module, demand):
    source = f"{COMPLETE}\ndef less():\n    del Mine.{demand}\n    return Mine()\n"
    assert f"lacks {demand};" in refusal(load_task, f"{module(source)}:less")


def test_errors_of_weights_pass_through(module):
    """They name the file."""
    source = (
        "from spaces.errors import WeightsError\n"
        "def make_task():\n    raise WeightsError('weights w.npz: no such file')\n"
    )
    with pytest.raises(WeightsError, match=r"w\.npz"):
        load_task(f"{module(source)}:make_task")


def test_the_built_in_task_takes_weights_from_a_file(tmp_path):
    missing = tmp_path / "none.npz"
    with pytest.raises(WeightsError, match=r"none\.npz"):
        load_task("fashion_mnist", {"weights": str(missing)}).build_model()


def test_a_package_that_cannot_be_imported_is_refused(module):
    name = module(COMPLETE, package="raise RuntimeError('no licence')")
    assert "no licence" in refusal(load_task, f"{name}:make_task")


@pytest.mark.parametrize(
    "source",
    ["raise ImportError('line 1\\nline 2')", "def make_task():\n    raise TypeError('1\\n2')"],
)
def test_an_error_of_several_lines_is_printed_in_one(module, source):
    refusal(load_task, f"{module(source)}:make_task")


def test_a_factory_that_raises_is_refused(module):
    source = "def make_task():\n    raise ValueError('no data in ./data')"
    assert "no data" in refusal(load_task, f"{module(source)}:make_task")


def test_a_type_error_inside_the_factory_is_not_blamed_on_options(module):
    source = "def make_task():\n    return None + 1"
    assert "does not take" not in refusal(load_task, f"{module(source)}:make_task")


@pytest.mark.parametrize("status", ["0", "1", ""])
def test_a_task_that_ends_the_process_is_refused(module, status):
    leave = f"import sys\nsys.exit({status})"
    name = module(COMPLETE, package=leave)
    for call in (resolve, load_task):
        assert "SystemExit" in refusal(call, f"{name}:make_task")
    assert "SystemExit" in refusal(load_task, f"{module(leave)}:make_task")
    later = f"import sys\ndef make_task():\n    sys.exit({status})"
    assert "SystemExit" in refusal(load_task, f"{module(later)}:make_task")
