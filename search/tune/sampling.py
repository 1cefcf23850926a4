"""How Optuna samples: TPE with constraints over the recent trials."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from spaces.space import CategoricalParameter, Parameter

# Trials that are drawn at random before TPE samples. A guess.
STARTUP = 8
# Fewest trials that TPE samples from, of twice as many at most: with 10,000 a sample takes half a
# second. A guess.
WINDOW = 200
# States of the trials that TPE learns from.
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def optuna_distributions(parameters: Mapping[str, Parameter]) -> dict[str, BaseDistribution]:
    """Return Optuna's distributions of a space's parameters."""

    def one(parameter: Parameter) -> BaseDistribution:
        if isinstance(parameter, CategoricalParameter):
            return CategoricalDistribution(parameter.choices)
        return IntDistribution(parameter.low, parameter.high, step=parameter.step)

    return {name: one(parameter) for name, parameter in parameters.items()}


class RecentTPESampler(BaseSampler):
    """Multivariate TPE (Bergstra et al., 2011; Watanabe, 2023) that sees the last trials only."""

    def __init__(self, distributions: Mapping[str, BaseDistribution], seed: int) -> None:
        self._distributions = dict(distributions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._sampler = TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP)
        self._recent: list[FrozenTrial] | None = None
        """The last trials to finish; None before the first sample."""
        self._new: list[FrozenTrial] = []
        """Those of them that TPE has not seen."""
        self._shown: optuna.Study | None = None
        """The study in memory that TPE samples from; replaced when it has grown."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        return self.draw(study)

    def draw(self, study: optuna.Study) -> dict[str, Any]:
        """Return parameters for a trial of a study, without beginning one."""
        if self._recent is None:
            # Once only: to list 10,000 trials takes as long as to sample.
            self._recent = study.get_trials(deepcopy=False, states=ENDED)
            self._new = self._recent
        shown = len(self._shown.get_trials(deepcopy=False)) if self._shown is not None else 0
        if self._shown is None or shown + len(self._new) > 2 * WINDOW:
            self._shown = optuna.create_study(directions=study.directions, sampler=self._sampler)
            self._new = self._recent = self._recent[-WINDOW:]
        self._shown.add_trials(self._new)
        self._new = []
        asked = self._shown.ask(self._distributions)
        self._shown.tell(asked, state=TrialState.FAIL)
        return asked.params

    def refuse(self, parameters: Mapping[str, Any], excess: Mapping[str, float]) -> None:
        """Learn that parameters that were drawn exceed constraints, each by so much.

        The study is not told: no trial had them.
        """
        assert self._recent is not None
        refused = optuna.trial.create_trial(
            state=TrialState.PRUNED,
            params=dict(parameters),
            distributions=self._distributions,
            constraints=dict(excess),
        )
        self._recent.append(refused)
        self._new.append(refused)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Note a trial that ends; one told before the first sample is found in the study."""
        if self._recent is not None and state in ENDED:
            ended = optuna.trial.create_trial(
                state=state,
                values=values,
                params=trial.params,
                distributions=trial.distributions,
                system_attrs=trial.system_attrs,
            )
            self._recent.append(ended)
            self._new.append(ended)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)
