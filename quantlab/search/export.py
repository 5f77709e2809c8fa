"""A finished search as a study of Optuna: for its figures, and for its dashboard.

Nothing of quantlab is lost on the way: all metrics of a trial are its user attributes.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.backtest.surface import Surface
from quantlab.errors import InputError
from quantlab.search.choose import narrow
from quantlab.search.codes import codes_of, columns_of
from quantlab.search.trials import distributions, quiet

if TYPE_CHECKING:
    import optuna

    from quantlab.search.study import Study


def exported(study: Study, storage: Any = None, name: str | None = None) -> optuna.Study:
    """See `Study.to_optuna`."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    name = name or f"{study.strategy.name} {study.sampler} {study.key[:12]}"
    up, down = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
    ways = [up if way == "higher" else down for way in study.aim.directions]
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            made = optuna.create_study(study_name=name, directions=ways, storage=storage)
        except optuna.exceptions.DuplicatedStudyError:
            raise InputError(
                f"{storage} holds a study {name!r} already: it is this search, exported before, or give this "
                "one another `name`."
            ) from None
        except (ImportError, SQLAlchemyError) as error:
            raise InputError(
                f"Optuna cannot open the storage {storage!r} ({error}): give a URL such as "
                "'sqlite:///searches.db'."
            ) from error
        made.set_metric_names(list(study.aim.metrics))
        made.add_trials(_trials(study))
    return made


def _trials(study: Study) -> list[optuna.trial.FrozenTrial]:
    """Every trial in the order of evaluation: complete, failed (no objective), or pruned (short history)."""
    from optuna.trial import TrialState, create_trial

    space = narrow(study.strategy.space, study.bounds)
    kinds = distributions(space)
    found, values, place = [], study.values, 0
    for part in study.parts:
        whole = part.surface
        surface = whole if isinstance(whole, Surface) else whole.across(study.aim.aggregate)
        held = np.ravel(surface.cells.allowed)
        columns = columns_of(space, codes_of(space, surface.cells)[held])
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        cells = [dict(zip(columns, row, strict=True)) for row in rows]
        metrics = {metric: np.ravel(column)[held].tolist() for metric, column in surface.metrics.items()}
        for i, cell in enumerate(cells):
            row = values[place]
            place += 1
            known = {metric: column[i] for metric, column in metrics.items() if np.isfinite(column[i])}
            told: dict[str, Any] = {"state": TrialState.COMPLETE, "values": row.tolist()}
            if part.share < 1.0:
                score = float(part.scores[i, 0] * study.aim.signs[0])
                steps = {round(100 * part.share): score} if np.isfinite(score) else {}
                told = {"state": TrialState.PRUNED, "intermediate_values": steps}
            elif np.isnan(row).any():
                told = {"state": TrialState.FAIL}
            found.append(create_trial(params=cell, distributions=kinds, user_attrs=known, **told))
    return found
