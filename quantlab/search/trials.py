"""What the samplers that stand on Optuna share: parameters as distributions, cells as trials, silence."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from quantlab.search.codes import columns_of, to_codes
from quantlab.space import Choice, Int, Space

UNDEFINED = "undefined"


def distributions(space: Space) -> dict[str, Any]:
    """The parameters of a space as Optuna's distributions."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    kinds: dict[str, Any] = {}
    for p in space.parameters:
        if isinstance(p, Choice):
            kinds[p.name] = CategoricalDistribution(p.options)
        elif isinstance(p, Int):
            kinds[p.name] = IntDistribution(p.low, p.high)
        else:
            kinds[p.name] = FloatDistribution(p.low, p.high)
    return kinds


def new_study(sampler: Any, objectives: int) -> Any:
    """An in-memory study that maximises so many objectives."""
    import optuna

    with quiet():
        return optuna.create_study(directions=["maximize"] * objectives, sampler=sampler)


def finished(space: Space, codes: np.ndarray, values: np.ndarray, kinds: Mapping[str, Any]) -> list[Any]:
    """Evaluated cells as trials; one with an undefined value is an infeasible trial.

    Parameters
    ----------
    space : Space
    codes : float64 (n, parameters)
    values : float64 (n, objectives)
    kinds : mapping
        From `distributions`.
    """
    from optuna.trial import create_trial

    columns = [column.tolist() for column in columns_of(space, codes).values()]
    bad = np.isnan(values).any(axis=1)
    told = np.where(bad[:, None], 0.0, values).tolist()
    return [
        create_trial(
            params=dict(zip(space.names, row, strict=True)),
            distributions=dict(kinds),
            values=told[i],
            constraints={UNDEFINED: float(bad[i])},
        )
        for i, row in enumerate(zip(*columns, strict=True))
    ]


def refuse(study: Any, trial: Any, objectives: int) -> None:
    """Tell a study that a trial is infeasible."""
    trial.set_constraint(UNDEFINED, 1.0)
    study.tell(trial, [0.0] * objectives)


def code_of(space: Space, params: Mapping[str, Any]) -> np.ndarray:
    """The code of one trial's parameters, shape (1, parameters)."""
    return to_codes(space, {name: [params[name]] for name in space.names})


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from announcing its in-memory study; the level of its logger is then as it was."""
    logger = logging.getLogger("optuna")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def importance(
    space: Space, codes: np.ndarray, values: np.ndarray, names: Sequence[str], seed: int = 0
) -> dict[str, float]:
    """PED-ANOVA: how much each parameter decides whether a cell is among the best tenth; they sum to 1.

    Parameters
    ----------
    space : Space
    codes : float64 (n, parameters)
    values : float64 (n,)
        The higher the better, none of them NaN.
    names : sequence of str
        Parameters that vary.

    Notes
    -----
    Source: S. Watanabe, A. Bansal, F. Hutter, "PED-ANOVA", IJCAI (2023), arXiv:2304.10255.
    """
    import optuna

    study = new_study(optuna.samplers.RandomSampler(seed=seed), 1)
    kinds = distributions(space)
    study.add_trials(finished(space, codes, values[:, None], kinds))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(names)))
