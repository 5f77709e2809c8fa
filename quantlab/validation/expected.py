"""What Sharpe ratio to expect of a candidate once it trades: less than the one that it was chosen for."""

from __future__ import annotations

import math

import numpy as np

from quantlab.backtest.surface import Surface
from quantlab.backtest.trades import Run
from quantlab.errors import InputError
from quantlab.validation.evidence import timed
from quantlab.validation.haircut import haircut_sharpe
from quantlab.validation.rerun import Rerun
from quantlab.validation.statistics import sharpe
from quantlab.validation.trials import Trials
from quantlab.validation.verdict import Test


@timed
def expected_sharpe(run: Run, surface: Surface, trials: Trials | str, nulls: Rerun | None = None) -> Test:
    """Annual Sharpe ratio to expect after selection; that in sample is in the text.

    With markets without an edge it is the Sharpe in sample less what the search finds on them (`luck`).
    Without them it is what the best cell of one half of the time made in the other, on average over all ways
    to halve it. Beside it stand the haircuts of Harvey & Liu (2015), as if all cells were independent.

    **The trap**: it is an expectation, not a bound, and of a market that goes on as it was; half of the
    outcomes lie below it. A haircut by p-values cuts weak Sharpe ratios to zero and strong ones hardly.

    Measured on 40 markets without an edge and 80 with one: the Sharpe in sample was 0.4 to 0.5 above the true
    one, this one less than 0.1; see docs/honesty.md.
    """
    year = run.execution.days_per_year
    ratio, days = sharpe(run.daily, 1.0), len(run.daily)
    if math.isnan(ratio):
        return _unmeasured("the candidate's returns do not vary")
    seen, root = ratio * math.sqrt(year), math.sqrt(year)
    lucky = math.nan if nulls is None else luck(nulls, days / year)
    if not math.isnan(lucky):
        value = seen - lucky
        how = f"less the {lucky:.2f} that the search finds by luck on markets without an edge"
    else:
        try:
            if isinstance(trials, str):
                return _unmeasured(trials)
            value = float(np.mean(trials.halves.unseen)) * root
        except InputError as error:
            return _unmeasured(str(error).rstrip("."))
        how = "what the best cell of one half of the time made in the other half"
    others = _others(surface["sharpe"], seen) / root
    cut = haircut_sharpe(ratio, days, others)
    left = ", ".join(f"{cut[name] * root:.2f} ({title})" for name, title in _TITLES.items())
    kept = f" ({value / seen:.0%} of it)" if seen > 0.0 and value > 0.0 else ""
    detail = (
        f"Sharpe {seen:.2f} on the data that it was chosen on; expect about {value:.2f}{kept}: {how}. A "
        f"haircut for {others.size + 1:,} trials leaves {left}."
    )
    return Test("expected_sharpe", value, None, None, detail)


def luck(nulls: Rerun, years: float) -> float:
    """Annual Sharpe ratio of timing that a search finds where there is none: the greater mean of the nulls.

    A market on which no cell traded enough counts as 0; NaN if none was drawn. Scores are timing t.
    """
    means = [
        float(np.mean(np.where(np.isfinite(n.scores), n.scores, 0.0))) for n in nulls.nulls if n.scores.size
    ]
    return max(means, default=math.nan) / math.sqrt(years)


_TITLES = {"bonferroni": "Bonferroni", "holm": "Holm", "bhy": "Benjamini, Hochberg and Yekutieli"}


def _others(ratios: np.ndarray, own: float) -> np.ndarray:
    """Sharpe ratios of all trials but the candidate, one of those that equal it."""
    found = ratios[~np.isnan(ratios)]
    if not found.size:
        return found
    return np.delete(found, int(np.argmin(np.abs(found - own))))


def _unmeasured(why: str) -> Test:
    return Test("expected_sharpe", None, None, None, f"not measured: {why}.")
