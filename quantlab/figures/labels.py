"""How a metric is called, coloured and written: the one place where a number becomes text."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

MISSING_TEXT = "–"
MINUS = "−"

Form = Literal["percent", "ratio", "count", "number", "bps", "days"]
_D3_FORMATS: dict[str, str] = {
    "percent": ".1%",
    "ratio": ".2f",
    "count": ",.0f",
    "number": ".4~g",
    "bps": ".1f",
    "days": ",.0f",
}


@dataclass(frozen=True)
class MetricStyle:
    """The look of one metric.

    Parameters
    ----------
    label : str
        Its name in prose.
    form : {"percent", "ratio", "count", "number", "bps", "days"}
        How a value is written; a fraction is stored as a fraction and written with a percent sign.
    neutral : float or None
        The value that is neither good nor bad, at which diverging colours turn (0 for a return, 1 for
        a profit factor); None for a metric without one, which gets a sequential scale.
    """

    label: str
    form: Form = "number"
    neutral: float | None = None

    @property
    def d3(self) -> str:
        """The d3 format string that plotly uses for this form."""
        return _D3_FORMATS[self.form]


_STYLES: dict[str, MetricStyle] = {
    "net_profit": MetricStyle("net profit", "percent", 0.0),
    "cagr": MetricStyle("CAGR", "percent", 0.0),
    "sharpe": MetricStyle("Sharpe", "ratio", 0.0),
    "sortino": MetricStyle("Sortino", "ratio", 0.0),
    "calmar": MetricStyle("Calmar", "ratio", 0.0),
    "max_drawdown": MetricStyle("max drawdown", "percent"),
    "drawdown_duration": MetricStyle("drawdown duration (days)", "days"),
    "trades": MetricStyle("trades", "count"),
    "win_rate": MetricStyle("win rate", "percent"),
    "gross_win_rate": MetricStyle("win rate before costs", "percent"),
    "profit_factor": MetricStyle("profit factor", "ratio", 1.0),
    "expectancy": MetricStyle("expectancy per trade", "percent", 0.0),
    "avg_win": MetricStyle("average win", "percent"),
    "avg_loss": MetricStyle("average loss", "percent"),
    "exposure": MetricStyle("exposure", "percent"),
    "turnover": MetricStyle("turnover (x equity per year)", "ratio"),
    "fees_paid": MetricStyle("fees paid (of initial equity)", "percent"),
    "var_95": MetricStyle("VaR 95 (daily)", "percent"),
    "cvar_95": MetricStyle("CVaR 95 (daily)", "percent"),
    "break_even_cost_bps": MetricStyle("break-even cost (bps)", "bps", 0.0),
    "share_of_time": MetricStyle("share of time", "percent"),
    "timing_t": MetricStyle("timing alpha t", "ratio", 0.0),
    "score": MetricStyle("plateau score", "ratio", 0.0),
}


def metric_style(name: str) -> MetricStyle:
    """The style of the metric `name`; an unknown metric is written as a plain number around zero."""
    return _STYLES.get(name) or MetricStyle(name.replace("_", " "), "number", 0.0)


def metric_text(name: str, value: Any) -> str:
    """Write `value` the way the metric `name` is written; what is undefined becomes an en dash.

    Parameters
    ----------
    name : str
    value : float, int, bool, str, numpy scalar or None
        NaN and None mean "not defined".

    Returns
    -------
    str
        With a typographic minus sign. Strings come back as they are.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if value is None or not math.isfinite(value):
        return MISSING_TEXT
    if name not in _STYLES:
        return number_text(value)
    form = _STYLES[name].form
    patterns = {"percent": ".1%", "ratio": ".2f", "bps": ".1f", "number": ".5g"}
    return _minus(format(float(value), patterns.get(form, ",.0f")))


def number_text(value: Any) -> str:
    """Write a plain number: integers in full with thousands separators, reals with six digits."""
    if value is None or not math.isfinite(value):
        return MISSING_TEXT
    if float(value).is_integer() and abs(value) < 1e15:
        return _minus(f"{int(value):,}")
    if 1 <= abs(value) < 1e9:
        return _minus(f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}")
    return _minus(f"{value:.6g}")


def value_texts(values: Iterable[Any]) -> list[str]:
    """Tick texts of parameter values: short, and different for different values.

    Parameters
    ----------
    values : iterable of numbers or strings, distinct

    Returns
    -------
    list of str
        At most six significant digits each, or the full value where six would make two texts equal.
    """
    values = [v.item() if isinstance(v, np.generic) else v for v in values]
    texts = [f"{v:.6g}" if isinstance(v, float) else str(v) for v in values]
    return texts if len(set(texts)) == len(texts) else [str(v) for v in values]


def plain(text: str) -> str:
    """Text that plotly shows as it is: its pseudo-HTML (links included) is not interpreted."""
    return html.escape(str(text), quote=False)


def _minus(text: str) -> str:
    return text.replace("-", MINUS) if text.startswith("-") else text
