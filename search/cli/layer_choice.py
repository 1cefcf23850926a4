"""INT8 with as few layers in float as keep the loss within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search.console import percent
from spaces.errors import TrialError
from spaces.mixing import LayerCost, fewest, put_back_order
from spaces.plan import Plan, QuantizationChoice
from trainables.files.codec import PlanField
from trainables.results import TrialResult

WHOLE = Plan.of({}, QuantizationChoice.INT8_PTQ)


@dataclass(frozen=True)
class Mixture:
    """How the layers in float were chosen."""

    budget: float
    loss: float
    """Relative loss on validation in INT8 throughout."""
    costs: tuple[LayerCost, ...]
    order: tuple[str, ...]
    """The layers in the order in which they are put back to float."""
    tried: tuple[tuple[int, float | None], ...]
    """How many of them were in float, and the loss on validation then; None if that failed."""
    plan: PlanField


def choose_mixture(
    budget: float,
    run: Callable[[Plan], TrialResult],
    measure: Callable[[Sequence[str]], list[LayerCost]],
    say: Callable[[str], None],
) -> Mixture:
    """Return the plan with the fewest layers in float that keeps the budget on validation; the
    float one if none does.

    Layers are put back in the order of `put_back_order`. Nothing is measured if INT8 throughout
    keeps the budget. `run` gives a plan's trial, `measure` what INT8 costs in layers.
    """
    whole = run(WHOLE)
    loss = _loss(whole)
    say(f"INT8 throughout: {percent(loss)} loss, {percent(budget)} allowed")
    if loss <= budget:
        return Mixture(budget, loss, (), (), (), WHOLE)
    costs = measure([layer for layer, ran in (whole.layers or {}).items() if ran == "int8"])
    order = put_back_order(costs)
    tried: dict[int, float | None] = {}

    def holds(count: int) -> bool:
        try:
            found = _loss(run(_with_float(order[:count])))
        except TrialError as error:
            tried[count] = None
            say(f"{count} of {len(costs)} layers in float: {error}")
            return False
        tried[count] = found
        say(f"{count} of {len(costs)} layers in float: {percent(found)} loss")
        return found <= budget

    # With all of them in float it would be the float model.
    most = min(len(order), len(costs) - 1)
    count = fewest(holds, most) if most > 0 else None
    plan = Plan() if count is None else _with_float(order[:count])
    return Mixture(budget, loss, tuple(costs), order, tuple(sorted(tried.items())), plan)


def _with_float(layers: Sequence[str]) -> Plan:
    return Plan.of({}, QuantizationChoice.INT8_PTQ, layers)


def _loss(result: TrialResult) -> float:
    assert result.metric_loss is not None
    return result.metric_loss


def mixture_lines(mixture: Mixture) -> list[str]:
    """Return a table with a line for each layer: what it costs and brings in INT8, and whether it
    is in float now."""
    if not mixture.costs:
        return []
    costs = {cost.layer: cost for cost in mixture.costs}
    width = max(len(name) for name in costs)
    lines = [f"{'layer':<{width}}  loss less  damage   time saved  precision"]
    for name in (*mixture.order, *(n for n in costs if n not in mixture.order)):
        cost = costs[name]
        kept = name in mixture.plan.float_layers or mixture.plan == Plan()
        precision = "float" if kept else "int8"
        if cost.metric_loss is None or cost.damage is None or cost.latency_ratio is None:
            lines.append(f"{name:<{width}}  {cost.reason}")
            continue
        less, saved = percent(mixture.loss - cost.metric_loss), percent(cost.latency_ratio - 1)
        lines.append(f"{name:<{width}}  {less:>9}  {cost.damage:7.1e}  {saved:>10}  {precision}")
    return lines
