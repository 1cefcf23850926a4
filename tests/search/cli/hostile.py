"""Random wrong command lines, from a seed."""

import random

NESTED = 300
# Given in place of a number, a name, a path or a YAML value.
TEXTS = (
    "", " ", "0", "-1", "1", "3", "0.1", "0.5", "1e400", "nan", "-inf", "1_0", "9" * 5000,
    "0x" + "f" * 5000, "12:30", "2026-99-99", "null", "true", "~", "~nobody/x", "x" * 300,
    "x/" * 3000, "größe", "訓練", "\udcff", "a\x1b[31m\x07b", "[/]", "[bold", "\u202e", "{}", "[]",
    "=", "<<", "%", "%s", "-", "--", "'", '"', "!!int x", "!!bool x", "!!timestamp x", "!!binary x",
    "!!set {a}", "!!python/object/apply:os.system [id]", "!x", "&a [*a]", "*a", "a: b: c", "? [1]",
    '"\\0"', "\t", "[" * NESTED, "[" * NESTED + "]" * NESTED, "{a: " * NESTED + "1" + "}" * NESTED,
    "{1: 2}", "{a: 1}", "[0.2, 0.5]", "[x, y]", "int8_ptq", "float", "/dev/null", "/dev/full",
    "/proc/none", "/nowhere", ".", "..", "file", "config", "run", "finished", "folder", "none",
    "foo://x", "://", "file:///nowhere", "file://", "s3://", "fashion_mnist", "paddleclas",
    "no.such:thing", "os:getcwd", "x:", ":x", "...:y", "json.tool:main", "on-premises",
)  # fmt: skip
SETTINGS = (
    "budget", "trials", "task", "task_options", "ship", "seed", "finalists", "choices", "max_ratio",
    "runtime_env", "threads", "engine", "cache", "out", "storage", "trackers", "calibration",
    "latency_batch", "batch_size", "learning_rate", "address", "criterion", "sampler", "bugdet", "",
)  # fmt: skip
FLAGS = {
    "run": (
        "--budget", "--task", "--weights", "--config-file", "--trials", "--seed", "--concurrency",
        "--out", "--storage", "--cluster", "-c", "--resume", "--dry-run", "--check-task",
    ),
    "apply": (
        "--task", "--weights", "--config-file", "--out", "--config", "--quantization", "--iters",
        "--batch-size", "--learning-rate", "--ratio", "--ratios", "--loss", "--removed",
        "--skip-first", "--sensitive", "--sensitivities",
    ),
    "select": ("--budget", "--max-latency-ms", "--max-size-bytes"),
    "report": ("--compare", "--out"),
    "timing": ("--batch", "--threads", "--warmup", "--runs"),
    "to_onnx": ("--out",),
    "reexport": ("--out",),
}  # fmt: skip
SWITCHES = ("--dry-run", "--check-task")
# Correct beginnings, so that the mistake comes later.
RIGHT = {
    "run": ([], ["--budget", "0.1"], ["--budget", "0.1"], ["--resume", "run"]),
    "apply": (
        ["groups"], ["uniform", "--ratio", "0.3"], ["explicit", "--ratios", "a=0.3"], ["quantize"],
        ["flops", "--removed", "0.3"], ["threshold"], ["nothing"], [],
    ),
    "select": ([], ["finished"], ["finished", "--budget", "0.1"], ["run", "--budget", "0.1"]),
    "report": ([], ["run"], ["finished"]),
    "timing": ([], ["finished"], ["run"]),
    "to_onnx": ([], ["finished"], ["run"]),
    "reexport": ([], ["finished", "1"], ["run", "0"], ["run"]),
}  # fmt: skip


def command_line(draw: random.Random) -> tuple[str, list[str]]:
    """Return a command and its arguments."""
    # `run` more often than others: it has the most flags.
    command = draw.choice(("run", "run", "run", "apply", "apply", *RIGHT))
    arguments = list(draw.choice(RIGHT[command]))
    # Mostly one mistake: the first one hides the others.
    for _ in range(draw.choice((0, 1, 1, 1, 1, 2, 3))):
        kind = draw.random()
        if kind < 0.5 and command in ("run", "apply"):
            name, text = draw.choice(SETTINGS), draw.choice(TEXTS)
            arguments += ["-o", f"{name}={text}" if kind < 0.47 else draw.choice((name, text))]
        elif kind < 0.95:
            flag = draw.choice(FLAGS[command])
            arguments += [flag] if flag in SWITCHES else [flag, draw.choice(TEXTS)]
        else:
            arguments.insert(draw.randint(0, len(arguments)), draw.choice(TEXTS))
    return command, arguments
