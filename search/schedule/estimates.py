"""How long the parts of a run take, guessed from the unpruned model's speed."""

from __future__ import annotations

from dataclasses import dataclass

from search.config import RunConfig
from search.needs import PARTS
from search.records.search_space import build_space, searched_items
from search.schedule.durations import about
from search.schedule.forecast import Course, Standing
from spaces.measurements import reference_plans
from spaces.plan import QuantizationChoice
from trainables.levels import training_levels
from trainables.results import Baseline
from trainables.settings import WorkerSettings, norm_samples

# Share of the compute of `finalists` that the last promotions take, on the mean of tabulated
# searches: then nothing promises a gain (LOG: what full training leaves of a large loss).
CLOSING = 0.75


@dataclass(frozen=True)
class Speeds:
    """Guesses for the estimate of a run's duration, from runs of the built-in task on two cores."""

    qat: float = 1.5
    """Time of a quantization-aware training step, as a multiple of a float step's: 1.2 to 1.5 in
    processor seconds."""
    qat_trials: float = 0.3
    """Share of the trials that train quantization-aware."""
    start_s: float = 8.0
    """Seconds until the workers of a search have started; they start side by side."""
    other_s: float = 3.0
    """Seconds of a level that are neither training nor evaluation, and the change to the next
    trial: 2.8 to 3.3 on the built-in problem (LOG: how long a search takes)."""
    evaluation: float = 0.5
    """Time of a candidate's evaluation, as a share of the unpruned model's."""
    between_s: float = 1.0
    """Seconds between the levels of a worker."""
    final_s: float = 20.0
    """Most seconds of the last timing."""
    final_runs: int = 240
    """Runs of the unpruned model that take as long as the last timing of both."""
    worker_s: float = 4.0
    """Seconds until a new worker has imported all that it needs."""
    engine_s: float = 0.2
    """Seconds to load an engine."""
    shape_s: float = 1.0
    """Seconds to time an untrained plan. A guess, near `probe.FULL` for small models."""
    export_s: float = 0.3
    """Seconds of an export in a run of an older version, which did not measure it: the built-in
    network's. A guess."""
    shapes: float = 1.7
    """Exports that an untrained plan in float or bfloat16 takes as long as, its pruning included
    (LOG: what comes before the search, in exports)."""
    quantized_shapes: float = 6.0
    """The same in INT8: 4 of a network of 16 layers, 8 of one of 70 (LOG: what comes before the
    search, in exports)."""
    parts: float = 1.5
    """Exports that the beginning of a part of the sensitivities takes as long as (LOG: what comes
    before the search, in exports)."""
    masked: float = 0.9
    """Time of an evaluation with a group masked or a branch removed, as a share of the unpruned
    model's: 0.5 to 0.95, in bfloat16 (LOG: what comes before the search, in exports)."""
    side_by_side: float = 1.6
    """Time of work on all cores, as a multiple of the same work alone: two cores may be one's two
    threads (LOG: what comes before the search, in exports)."""
    forward: float = 0.25
    """Time of a training sample's forward pass, as a share of the whole step's: 0.18 to 0.31 (LOG:
    what comes before the search, in exports)."""
    reference_runs: int = 700
    """Runs of the unpruned model that take as long as the timing of all references: 200 rounds, the
    others together 2.5 times as long as it on the built-in problem."""
    least_final_s: float = 8.0
    """Least seconds of their timing."""


SPEEDS = Speeds()


@dataclass(frozen=True)
class LevelSeconds:
    """Seconds of one plan's level. Every plan has the same compute, so they hold for all."""

    float_s: float
    quantized_s: float
    """Of quantization-aware training, for the plans that have it."""
    other_s: float
    """All that is not training."""

    def training_s(self, quantized_share: float) -> float:
        """Return the seconds of training; the share is that of the plans that are trained
        quantization-aware, 0 or 1 for one plan."""
        return self.float_s + quantized_share * self.quantized_s

    @property
    def typical_s(self) -> float:
        """All seconds, of the mean plan."""
        return self.training_s(SPEEDS.qat_trials) + self.other_s


def level_seconds(settings: WorkerSettings, baseline: Baseline) -> tuple[LevelSeconds, ...]:
    """Return what each level of training takes."""
    return tuple(
        LevelSeconds(
            level.samples * baseline.train_s,
            SPEEDS.qat * level.quantized_samples * baseline.train_s,
            SPEEDS.evaluation * baseline.evaluate_s + SPEEDS.other_s,
        )
        for level in training_levels(settings, baseline)
    )


def final_seconds(settings: WorkerSettings, baseline: Baseline) -> float:
    """Return the seconds after the last training: the last timing and the test split."""
    timing_s = min(
        SPEEDS.final_s * settings.latency_effort, SPEEDS.final_runs * baseline.latency_ms / 1000
    )
    return SPEEDS.worker_s + timing_s + 2 * baseline.evaluate_s


@dataclass(frozen=True)
class Estimate:
    """How long a run takes from its search on, in seconds."""

    trial_s: float
    """One plan, up to its first measurement."""
    proposals_s: float
    """All plans, up to their first measurement."""
    least_promoted_s: float
    """Training the promising plans on, if the most pruned plan turns out to keep the budget."""
    promoted_s: float
    """Training the promising plans on otherwise."""
    end_s: float
    """The start of the workers, the last timing and the test split."""

    @property
    def least_s(self) -> float:
        return self.proposals_s + self.least_promoted_s + self.end_s

    @property
    def total_s(self) -> float:
        return self.proposals_s + self.promoted_s + self.end_s

    def in_words(self, trials: int, at_once: int) -> str:
        return (
            f"about {about(self.least_s, self.total_s)}: {trials} plans of {self.trial_s:.0f} s, "
            f"{at_once} at a time, and {about(self.least_promoted_s, self.promoted_s)} to train "
            "the promising ones on"
        )


def estimate(
    config: RunConfig,
    baseline: Baseline,
    trials: int,
    at_once: int,
    standing: Standing | None = None,
    *,
    may_end_early: bool = True,
) -> Estimate:
    """Return how long a search takes to try `trials` plans, `at_once` at a time, and to promote.

    It follows from the unpruned model's speed: every plan has the same compute. `standing` is that
    of a search that has begun. Unless it `may_end_early` the most pruned plan is known to exceed
    the budget.
    """
    levels = level_seconds(config, baseline)
    course = Course(
        [level.typical_s for level in levels],
        [level.fidelity for level in training_levels(config, baseline)],
        trials,
        at_once,
        standing or Standing.new(len(levels)),
        levels[0].other_s if standing is None and begins_untrained(config, baseline) else None,
    )
    proposals_s = course.proposals_s()
    promoted_s = course.most_s(max(0.0, CLOSING * config.finalists - course.standing.closing))
    least_s = min(course.least_s(), promoted_s) if may_end_early else promoted_s
    return Estimate(
        trial_s=levels[0].typical_s,
        proposals_s=proposals_s,
        least_promoted_s=least_s - proposals_s,
        promoted_s=promoted_s - proposals_s,
        end_s=SPEEDS.start_s + final_seconds(config, baseline),
    )


def begins_untrained(config: RunConfig, baseline: Baseline) -> bool:
    """Return whether the first plan needs no training: the unpruned model in some precision."""
    choices = build_space(config, baseline).choices
    return not all(choice.is_trained for choice in choices)


def survey_seconds(config: RunConfig, baseline: Baseline, at_once: int) -> float:
    """Return the seconds of the measurements between baseline and search, if none is cached."""
    runs_s = SPEEDS.reference_runs * baseline.latency_ms / 1000
    timing_s = config.latency_effort * min(SPEEDS.final_s, max(SPEEDS.least_final_s, runs_s))
    return (
        _sensitivities_s(config, baseline, at_once)
        + timing_s
        + _shapes_s(config, baseline, at_once)
        + 2 * SPEEDS.worker_s
    )


def layers_seconds(config: RunConfig, baseline: Baseline, at_once: int) -> float:
    """Return the most seconds of measuring what INT8 costs in each layer, if none is cached; 0 if
    the settings do not ask for it.

    Only INT8 throughout is measured if that loses little.
    """
    space = build_space(config, baseline)
    able = QuantizationChoice.INT8_PTQ in space.choices and bool(space.groups)
    # Without the planner's timings no layer is put back.
    if not (config.layer_precision and config.sampler == "knapsack" and able):
        return 0.0
    export_s = SPEEDS.quantized_shapes * _export_s(baseline)
    model_s = export_s + SPEEDS.engine_s + SPEEDS.evaluation * baseline.evaluate_s
    layers = len(baseline.layers)
    # Each part begins with INT8 throughout.
    models = layers + min(layers, PARTS * at_once)
    crowded = SPEEDS.side_by_side if at_once > 1 else 1.0
    whole_s = SPEEDS.worker_s + model_s
    return whole_s + crowded * models * model_s / at_once + layers * SPEEDS.shape_s


def _export_s(baseline: Baseline) -> float:
    return SPEEDS.export_s if baseline.export_s is None else baseline.export_s


def _sensitivities_s(config: RunConfig, baseline: Baseline, at_once: int) -> float:
    """Return the wall seconds of the sensitivities, over workers."""
    items = searched_items(config, baseline)
    evaluate_s = SPEEDS.masked * baseline.evaluate_s * config.sensitivity_share
    evaluate_s += SPEEDS.engine_s
    # Without a branch, batch norms' statistics are measured on training samples.
    norms_s = SPEEDS.forward * norm_samples(baseline.inputs) * baseline.train_s
    branch_s = norms_s + evaluate_s
    branches = sum(item.is_branch for item in items)
    groups_s = (len(items) - branches) * config.sensitivity_points * evaluate_s
    parts = min(len(items), PARTS * at_once)
    # Branches have an export of their own.
    exports = SPEEDS.parts + (1 if branches else 0)
    parts_s = parts * (exports * _export_s(baseline) + evaluate_s)
    crowded = SPEEDS.side_by_side if at_once > 1 else 1.0
    return crowded * (groups_s + branches * branch_s + parts_s) / at_once


def _shapes_s(config: RunConfig, baseline: Baseline, at_once: int) -> float:
    """Return the seconds to export the references, and to export and time other plans.

    The others are taken one after the other: they are timed on one device.
    """
    space = build_space(config, baseline)
    exports = {
        choice: SPEEDS.quantized_shapes if choice.precision == "int8" else SPEEDS.shapes
        for choice in space.choices
    }
    references = sum(exports[plan.quantization] for plan in reference_plans(space))
    # The others are in the fast choices, which are not known yet.
    others = config.latency_points * max(exports.values())
    crowded = SPEEDS.side_by_side if at_once > 1 else 1.0
    shapes_s = (crowded * references / at_once + others) * _export_s(baseline)
    return shapes_s + config.latency_points * SPEEDS.shape_s
