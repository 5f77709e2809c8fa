"""What the explorer says in words: axes, metrics, places, verdicts, and why there is nothing to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from quantlab.backtest.metrics import definition
from quantlab.backtest.surface import Surface, is_ordered
from quantlab.errors import QuantlabError
from quantlab.explore.planes import Planes, Searched, View
from quantlab.explore.tables import param_text
from quantlab.figures.labels import metric_style
from quantlab.space import Choice, Grid
from quantlab.validation.verdict import Verdict


def said(error: BaseException) -> str:
    """An error as it is shown: what quantlab raises speaks for itself, anything else with its kind."""
    return str(error) if isinstance(error, QuantlabError) else f"{type(error).__name__}: {error}"


def verdict(found: Verdict, surface: Surface) -> dict[str, Any]:
    """A verdict as the browser shows it."""
    return {
        "state": "judged",
        "approved": found.approved,
        "reasons": list(found.reasons),
        "params": [[name, param_text(value)] for name, value in found.cell.params.items()],
        "tests": [
            {"title": test.title, "passed": test.passed, "detail": test.detail}
            for test in found.evidence.tests
        ],
        "key": surface.key[:12],
    }


def kind(searched: Searched, view: View) -> str:
    """How it is drawn: ``plane``, ``line`` (one axis) or ``points`` (a list of cells)."""
    if not searched.is_grid:
        return "points"
    return "plane" if view.y else "line"


def axes(searched: Searched) -> list[dict[str, Any]]:
    """Name, unit, meaning and values (as text) of every axis, or of every parameter of a list of points."""
    cells = searched.whole.cells
    columns = cells.axes if isinstance(cells, Grid) else {n: np.unique(v) for n, v in cells.columns.items()}
    found = []
    for name, values in columns.items():
        about = cells.space[name]
        ordered = is_ordered(cells, name) if isinstance(cells, Grid) else not isinstance(about, Choice)
        texts = [param_text(value) for value in values.tolist()]
        found.append(
            {"name": name, "unit": about.unit, "meaning": about.meaning, "values": texts, "ordered": ordered}
        )
    return found


def fixed(surface: Surface) -> Mapping[str, Any]:
    """Parameters that do not vary."""
    return surface.cells.fixed if isinstance(surface.cells, Grid) else {}


def metric(name: str) -> dict[str, Any]:
    """How a metric is called, written and read."""
    about, style = definition(name), metric_style(name)
    return {
        "name": name,
        "label": style.label,
        "form": style.form,
        "unit": about.unit,
        "better": about.better,
    }


def numbers(column: np.ndarray) -> np.ndarray:
    """A parameter's column as numbers; choices by their place among all of them."""
    return column if column.dtype.kind in "if" else np.unique(column, return_inverse=True)[1]


def where(searched: Searched, params: Mapping[str, Any]) -> dict[str, float | None]:
    """The place of parameters on every axis, between two values where they lie between; None outside."""
    cells = searched.whole.cells
    if not isinstance(cells, Grid):
        return {name: _value_of(params.get(name), column) for name, column in cells.columns.items()}
    return {name: _place_on(cells, name, params.get(name)) for name in cells.axes}


def why_empty(searched: Searched, view: View, found: Planes) -> str:
    """Why there is nothing to see, if there is nothing; else empty."""
    if np.isfinite(found.panes[0].values).any():
        return ""
    surface, label = searched.first, metric_style(view.metric).label
    most = int(np.nanmax(surface["trades"], initial=0)) if "trades" in surface.metrics else 0
    if not surface.cells.allowed.any():
        clauses = " and ".join(f"`{clause}`" for clause in surface.cells.space.constraints)
        return f"No cell of this surface satisfies {clauses}. Sweep other values."
    if not np.isfinite(surface[view.metric]).any():
        return (
            f"No cell has a {label}: the most trades of any are {most}. Sweep more candles or other values."
        )
    if view.min_trades > most:
        return f"No cell has {view.min_trades} closed trades, the most are {most}. Lower “at least … trades”."
    return (
        f"No cell of this slice has a {label} and {view.min_trades} trades. Move a slider, or ask for fewer."
    )


def why_undefined(view: View, x: int, y: int) -> str:
    """Why there is no cell at a place of the plane."""
    return (
        f"there is no cell to show at column {x + 1}, row {y + 1}: it breaks a constraint, has no "
        f"{metric_style(view.metric).label}, or fewer than {view.min_trades} closed trades."
    )


def _value_of(value: Any, column: np.ndarray) -> float | None:
    if column.dtype.kind in "if":
        return None if value is None else float(value)
    found = np.flatnonzero(np.unique(column) == value)
    return float(found[0]) if found.size else None


def _place_on(grid: Grid, name: str, value: Any) -> float | None:
    along = grid.axes[name]
    found = np.flatnonzero(along == value)
    if found.size:
        return float(found[0])
    if not is_ordered(grid, name) or value is None:
        return None
    order = np.argsort(along)
    if not along[order[0]] <= value <= along[order[-1]]:
        return None
    return float(np.interp(value, along[order], order.astype(float)))
