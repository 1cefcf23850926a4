"""The Optuna study of a search, kept in a file that `optuna-dashboard` reads too.

Every trial is in it, whatever source its plan came from: entered as running, under the channels and
the precision that its plan has, and told its result once the ledger has its row.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.records.ledger import Ledger
from search.records.trial_record import TrialRecord
from search.tune.journal_file import (
    ORIGIN,
    PLANNED,
    PROMOTES,
    REPEATS,
    STATES,
    agrees,
    first_state,
    open_study,
    plan_text,
    set_aside,
)
from search.tune.sampling import RecentTPESampler, optuna_distributions
from spaces.errors import one_line
from spaces.goal import Quantity
from spaces.plan import Plan
from spaces.space import Space
from trainables.results import TrialResult

logger = logging.getLogger(__name__)

CONSTRAINT = "metric_loss_within_budget"

SAMPLED = "sampled"
"""The origin of a plan that Optuna samples, and of one drawn at random."""

Exceeded = Callable[[Plan], Mapping[Quantity, float]]
"""By how much a plan is predicted to exceed each bound that it does not keep."""

# Samples in a row that may be refused before a suggestion is drawn at random: a guess.
PATIENCE = 20


def _constraint(quantity: Quantity) -> str:
    return f"{quantity}_within_bound"


class Journal:
    """Numbers trials, remembers which run, and learns what became of them."""

    def __init__(self, path: Path, space: Space, ledger: Ledger, seed: int) -> None:
        """Opens the file and brings it up to the ledger. A damaged one is set aside, and a new one
        is made from the ledger."""
        self._space, self._ledger = space, ledger
        self._distributions = optuna_distributions(space.parameters())
        self._running: dict[int, optuna.Trial] = {}
        self.interrupted: list[tuple[int, Plan, str]] = []
        """Trials that ran when the driver before this one died: number, plan and origin. They go on
        running."""
        self.rebuilt = False
        """Whether the file was damaged, and made again from the ledger."""
        self.study = self._open(path, seed)

    def _open(self, path: Path, seed: int) -> optuna.Study:
        if path.exists():
            try:
                study = open_study(path, self._distributions, seed, self._ledger.goal.objective)
                if agrees(study, self._distributions, self._ledger):
                    self._replay(study)
                    self._add_missing(study)
                    return study
            except Exception as error:  # Optuna raises any kind of error for a damaged line.
                logger.debug("journal %s: %s", path, one_line(error))
            self.interrupted.clear()
            self._running.clear()
            self.rebuilt = True
            set_aside(path)
        study = open_study(path, self._distributions, seed, self._ledger.goal.objective)
        self._rebuild(study)
        self._add_missing(study)
        return study

    def _replay(self, study: optuna.Study) -> None:
        """Bring the study up to the ledger after a crash.

        A running trial that has a row was finished, whether the study had been told or not. One
        without a row was interrupted.
        """
        for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            trial = optuna.Trial(study, frozen._trial_id)
            record = self._ledger.records.get(frozen.number)
            if record is not None:
                self._tell(study, trial, record)
                continue
            text = frozen.user_attrs.get(PLANNED)
            if text is None:
                # Its driver died while Optuna sampled: there is no plan to lose.
                study.tell(trial, state=TrialState.FAIL)
                continue
            plan = Plan.from_json(json.loads(text))
            origin = frozen.user_attrs.get(ORIGIN, SAMPLED)
            self.interrupted.append((self._runs(trial), plan, origin))

    def _rebuild(self, study: optuna.Study) -> None:
        """Add the ledger's trials under their numbers; a number without a row is a failure."""
        for number in range(max(self._ledger.records, default=-1) + 1):
            record = self._ledger.records.get(number)
            if record is None:
                study.add_trial(create_trial(state=TrialState.FAIL))
                continue
            state = first_state(record.result)
            study.add_trial(
                self._template(
                    record.plan,
                    record.origin,
                    state=state,
                    values=self._values(record) if state is TrialState.COMPLETE else None,
                    constraints=self._constraints(record.result),
                )
            )

    def _constraints(self, result: TrialResult) -> dict[str, float]:
        """Return the constraints of a measured trial, above 0 if broken: the loss after training in
        full, and the bounds."""
        if result.state == "FAILED" or result.metric_loss is None:
            return {}
        losses, _ = self._ledger.fidelity.predict(
            np.array([result.fidelity], float), np.array([result.metric_loss])
        )
        latency, size = result.latency_ratio, self._ledger.size_ratio(result)
        measured = {"latency": latency, "size": size}
        return {
            CONSTRAINT: float(losses[0]) - self._ledger.budget,
            **{
                _constraint(quantity): (measured[quantity] or 0.0) - bound
                for quantity, bound in self._ledger.goal.bounds().items()
            },
        }

    def _values(self, record: TrialRecord) -> list[float]:
        """Return what Optuna minimizes of a trial of full fidelity."""
        assert record.result.metric_loss is not None
        return [record.result.metric_loss, self._ledger.cost(record)]

    def _template(
        self, plan: Plan, origin: str, marks: Mapping[str, int] | None = None, **more: object
    ) -> FrozenTrial:
        attributes = {PLANNED: plan_text(plan), ORIGIN: origin, **(marks or {})}
        return create_trial(
            params=self._space.encode(plan),
            distributions=self._distributions,
            user_attrs=attributes,
            **more,  # type: ignore[arg-type]
        )

    def begin(self, plan: Plan, origin: str) -> int:
        """Enter a plan as a running trial; return the trial's number."""
        template = self._template(plan, origin, state=TrialState.RUNNING)
        # As `add_trial`, which does not return the identity.
        identity = self.study._storage.create_new_trial(self.study._study_id, template)
        return self._runs(optuna.Trial(self.study, identity))

    def _runs(self, trial: optuna.Trial) -> int:
        self._running[trial.number] = trial
        return trial.number

    def sample(self, exceeded: Exceeded | None = None) -> tuple[int, Plan] | None:
        """Return the number and the plan of a running trial that Optuna has sampled.

        Its parameters are the plan's (`Space.encode`): those that were drawn for groups inside a
        removed branch mean nothing. With `exceeded`, the plan is the first of PATIENCE samples that
        exceeds nothing; None if all do. The others are no trials: the sampler alone learns of them.
        """
        sampler = self.study.sampler
        assert isinstance(sampler, RecentTPESampler)
        for _ in range(PATIENCE):
            parameters = sampler.draw(self.study)
            plan = self._space.decode(parameters)
            excess = {} if exceeded is None else exceeded(plan)
            if not excess:
                return self.begin(plan, SAMPLED), plan
            constraints = {_constraint(q): over for q, over in excess.items()}
            sampler.refuse(self._space.encode(plan), constraints)
        return None

    def tell(self, number: int, record: TrialRecord) -> None:
        """Give a running trial its result. COMPLETE is for full fidelity alone."""
        self._tell(self.study, self._running.pop(number), record)

    def _add_missing(self, study: optuna.Study) -> None:
        """Add the promotions that the ledger has and the study lacks."""
        added = {t.user_attrs.get(PROMOTES) for t in study.get_trials(deepcopy=False)}
        for number, record in sorted(self._ledger.records.items()):
            promoted = record.result.state == "COMPLETE" and record.level > 0
            if promoted and number not in added:
                self._add_promoted(study, record)

    def promoted(self, record: TrialRecord) -> None:
        """Add a trial that was promoted to full fidelity: its own was told before."""
        self._add_promoted(self.study, record)

    def _add_promoted(self, study: optuna.Study, record: TrialRecord) -> None:
        study.add_trial(
            self._template(
                record.plan,
                record.origin,
                {PROMOTES: record.number},
                state=TrialState.COMPLETE,
                values=self._values(record),
                constraints=self._constraints(record.result),
            )
        )

    def repeat(self, number: int, record: TrialRecord) -> None:
        """Give a running trial the result of an earlier one that had the same plan."""
        self._running[number].set_user_attr(REPEATS, record.number)
        self.tell(number, record)

    def drop(self, number: int) -> None:
        """End a running trial without a result: another one runs with its plan."""
        self.study.tell(self._running.pop(number), state=TrialState.FAIL)

    def _tell(self, study: optuna.Study, trial: optuna.Trial, record: TrialRecord) -> None:
        for name, value in self._constraints(record.result).items():
            trial.set_constraint(name, value)
        if record.result.state == "COMPLETE":
            study.tell(trial, self._values(record))
        else:
            study.tell(trial, state=STATES[record.result.state])

    @property
    def trials(self) -> list[FrozenTrial]:
        """Every trial of the study, repeats and failures included."""
        return self.study.get_trials(deepcopy=False)
