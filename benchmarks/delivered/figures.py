"""The figures of bench/summary.json and the table, from judged models."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.delivered.judging import Judged
from benchmarks.delivered.methods import (
    AUTO_COMPRESSION,
    BEFORE,
    METHODS,
    OURS,
    THRESHOLD,
    VARIANTS,
)
from benchmarks.delivered.methods.ours import FASTEST_ENGINE, LAYER_PRECISION, WITHOUT_BRANCHES
from benchmarks.delivered.model import CONFIDENCE_Z

# Figures that compare two methods: the method, the other one, and what is compared.
COMPARED = {
    "delivered_latency_vs_threshold_int8": (OURS, THRESHOLD, "latency_ratio"),
    "delivered_latency_vs_auto_compression": (OURS, AUTO_COMPRESSION, "latency_ratio"),
    "delivered_latency_vs_before": (OURS, BEFORE, "latency_ratio"),
    "delivered_size_vs_threshold_int8": (OURS, THRESHOLD, "size_ratio"),
    "delivered_latency_with_branches_vs_without": (OURS, WITHOUT_BRANCHES, "latency_ratio"),
    "delivered_latency_on_fastest_engine_vs_paddle_inference": (
        *(FASTEST_ENGINE, OURS),
        "latency_ratio",
    ),
    "delivered_latency_with_layer_precision_vs_without": (
        *(LAYER_PRECISION, FASTEST_ENGINE),
        "latency_ratio",
    ),
}
HEADER = (
    "| problem | method | seeds (nothing delivered) | latency ratio | size ratio "
    "| budget use, with margin | loss on validation / budget | loss on test | beyond on test |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def use_with_margin(model: Judged) -> float:
    """Return the share of the budget that loss and margin on validation take."""
    return (model.loss_val + CONFIDENCE_Z * model.error_val) / model.budget


def normal_share(value: float) -> float:
    """Return the share of a standard normal distribution below a value."""
    return 0.5 * (1 + math.erf(value / math.sqrt(2)))


def expected_share(model: Judged) -> float:
    """Return the chance that the loss on test is within the budget, by both standard errors."""
    error = math.hypot(model.error_val, model.error_test)
    if error == 0:
        return float(model.loss_val <= model.budget)
    return normal_share((model.budget - model.loss_val) / error)


def compared(
    judged: Iterable[Judged], method: str, other: str, column: str
) -> dict[str, Any] | None:
    """Return a method relative to another, over problems and by problem; None without a pair.

    Only models that were timed in turn are compared, of each seed those that were judged last.
    All means are geometric.
    """
    by_judgement: dict[tuple[str, int, str], dict[str, float]] = defaultdict(dict)
    for model in judged:
        by_judgement[model.judgement][model.method] = getattr(model, column)
    pairs = {
        (problem, seed): math.log(values[method] / values[other])
        for (problem, seed, _), values in sorted(by_judgement.items())
        if {method, other} <= set(values)
    }
    logs: dict[str, list[float]] = defaultdict(list)
    for (problem, _), value in pairs.items():
        logs[problem].append(value)
    if not logs:
        return None
    means = {problem: float(np.mean(values)) for problem, values in logs.items()}
    errors = {
        problem: float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
        for problem, values in logs.items()
    }
    return {
        "value": math.exp(np.mean(list(means.values()))),
        "by_problem": {problem: math.exp(mean) for problem, mean in means.items()},
        # Of each problem's mean over seeds, as shares; None for one seed.
        "standard_errors": errors,
        "seeds": {problem: len(values) for problem, values in logs.items()},
    }


def judged_last(judged: Sequence[Judged]) -> list[Judged]:
    """Return of each method, problem and seed the model that was judged last."""
    ordered = sorted(judged, key=lambda model: model.at)
    return list({(m.problem, m.seed, m.method): m for m in ordered}.values())


def summarised(judged: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """Return all figures that these models allow."""
    found = {name: compared(judged, *given) for name, given in COMPARED.items()}
    figures = {name: figure for name, figure in found.items() if figure is not None}
    judged = judged_last(judged)
    ours = [model for model in judged if model.method == OURS and model.delivered]
    if ours:
        by_problem = defaultdict(list)
        for model in ours:
            by_problem[model.problem].append(use_with_margin(model))
        figures["budget_use_median"] = {
            "value": float(np.median([use_with_margin(model) for model in ours])),
            "without_margin": float(np.median([m.loss_val / m.budget for m in ours])),
            "by_problem": {name: float(np.median(uses)) for name, uses in by_problem.items()},
            "seeds": {name: len(uses) for name, uses in by_problem.items()},
        }
    delivered = [model for model in judged if model.delivered]
    if delivered:
        kept = [model.loss_test <= model.budget for model in delivered]
        problems = sorted({model.problem for model in delivered})
        figures["budget_kept_on_test"] = {
            "value": float(np.mean(kept)),
            "expected": float(np.mean([expected_share(model) for model in delivered])),
            "models": len(delivered),
            "by_problem": {
                problem: float(
                    np.mean([m.loss_test <= m.budget for m in delivered if m.problem == problem])
                )
                for problem in problems
            },
            "seeds": {
                problem: len({m.seed for m in delivered if m.problem == problem})
                for problem in problems
            },
        }
    return figures


def spread(values: Sequence[float]) -> str:
    """Return the geometric mean, and the least and the greatest value if they differ."""
    mean = math.exp(np.mean(np.log(values)))
    if len(values) == 1:
        return f"{mean:.4f}"
    return f"{mean:.4f} ({min(values):.4f} to {max(values):.4f})"


def line(problem: str, method: str, models: Sequence[Judged]) -> str:
    """Return a method's row on a problem. Without a model that keeps the budget a ratio is 1."""
    delivered = [model for model in models if model.delivered]
    missing = len(models) - len(delivered)
    cells = [
        problem,
        method,
        f"{len(models)}" + (f" ({missing})" if missing else ""),
        spread([model.latency_ratio for model in models]),
        spread([model.size_ratio for model in models]),
    ]
    if delivered:
        error = np.sqrt(np.mean([model.error_test**2 for model in delivered]))
        beyond = sum(model.loss_test > model.budget for model in delivered)
        cells += [
            f"{np.median([use_with_margin(model) for model in delivered]):.2f}",
            f"{np.median([model.loss_val / model.budget for model in delivered]):.2f}",
            f"{np.mean([model.loss_test for model in delivered]):+.2%} ± {error:.2%}",
            f"{beyond} of {len(delivered)}",
        ]
    else:
        cells += ["", "", "", ""]
    return f"| {' | '.join(cells)} |"


def table(judged: Sequence[Judged]) -> str:
    """Return the table of all methods by problem, ours and its variants last."""
    groups: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for model in judged_last(judged):
        groups[model.problem, model.method].append(model)
    order = [*METHODS, *VARIANTS]
    problems = list(dict.fromkeys(model.problem for model in judged))
    rows = [
        line(problem, method, groups[problem, method])
        for problem in problems
        for method in order
        if (problem, method) in groups
    ]
    return "\n".join([HEADER, *rows])
