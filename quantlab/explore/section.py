"""From a verdict and what it judged to a section of the report: what to show of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

import quantlab
from quantlab.backtest.by_regime import by_regime
from quantlab.backtest.execution import Execution
from quantlab.backtest.plateau import Plateau
from quantlab.backtest.surface import Surface, is_ordered
from quantlab.backtest.trades import REASONS, Run, last_fill
from quantlab.configuration.group import group_id
from quantlab.errors import InputError
from quantlab.explore.data import ChosenCell, CloseUp, EquityCurve, EvidenceRow, Luck, Plane, Section
from quantlab.explore.members import NOTE, differing, equity_together, figures_together, members_of
from quantlab.explore.tables import date, trade_rows
from quantlab.figures.labels import metric_style, metric_text, number_text
from quantlab.figures.slices import Profile
from quantlab.market.candles import Candles
from quantlab.regimes import REGIMES, detect
from quantlab.space import Grid
from quantlab.validation.ensemble import record
from quantlab.validation.render import luck
from quantlab.validation.verdict import Verdict

_WALK_FORWARD = (
    "Each window: search again on the past alone, then trade what it chose on the days that followed."
)
_OF_MEMBERS = (
    " The members of then trade together: their mean Sharpe in training, the parameters of the best one."
)
_BEFORE, _AFTER = 48, 24  # bars of a close-up around its trade


def section(
    verdict: Verdict,
    surface: Surface,
    candles: Candles,
    run: Run,
    *,
    members: Sequence[Run] = (),
    plane: tuple[str, str] | None = None,
    searched: Surface | None = None,
    provenance: Mapping[str, Any] | None = None,
    commands: Sequence[str] = (),
) -> Section:
    """Everything a report shows about one verdict.

    Parameters
    ----------
    verdict : Verdict
    surface : Surface
        The search that was judged.
    candles : Candles
        The candles that it was made on.
    run : Run
        The verdict's cell on all of `candles`.
    members : sequence of Run
        Of an ensemble each of its members on all of `candles`, the best first.
    plane : (x, y), optional
        Names of the two parameters of the heatmap; by default the pair that moves the metric most.
    searched : Surface, optional
        The same surface with what else was asked of the sweep: its regimes get planes of their own.
    provenance : mapping of label to text, optional
        More than what the verdict and the surface know, e.g. the id of the exported configuration.
    commands : sequence of str
        What to type to get this run again.

    Raises
    ------
    InputError
        When surface, candles or runs are not those that the verdict judged.
    """
    _check_same(verdict, surface, candles, run, members)
    equity = equity_together(members, candles.timestamps) if members else run.equity
    gate = verdict.evidence.gate
    return Section(
        strategy=verdict.strategy,
        market_name=f"{candles.exchange} {candles.symbol} {candles.timeframe}",
        approved=verdict.approved,
        reasons=verdict.reasons,
        summary=_summary(verdict, run, members, candles),
        figures=_figures(verdict, run, members, equity),
        evidence=[
            EvidenceRow(t.title, t.value, t.threshold, t.passed, t.detail, t.seconds)
            for t in verdict.evidence.tests
        ],
        luck=_luck(verdict),
        folds=verdict.evidence.walk_forward.to_json()["folds"],
        walk_forward_note=_WALK_FORWARD + (_OF_MEMBERS if members else ""),
        planes=(*(planes := _planes(verdict, surface, plane)), *_planes_by_regime(planes, searched)),
        members=members_of(verdict.members, members, surface.cells.space, gate.metric) if members else None,
        cell=_chosen(verdict, surface),
        curve=EquityCurve(
            candles.timestamps,
            equity,
            candles.close,
            _recent(candles, gate.recent),
            f"All {len(members)} members together. {NOTE}" if members else "",
        ),
        fills=verdict.evidence.fills,
        regimes=by_regime(run, candles.timestamps, detect(candles).label, REGIMES),
        costs=_costs(surface.execution),
        trades=trade_rows(run.trades, candles.timestamps),
        close_ups=_close_ups(run, candles),
        market=_market(candles),
        quality=candles.quality().rows(),
        quality_notes=candles.quality().notes,
        provenance=_provenance(verdict, surface) | dict(provenance or {}),
        commands=commands,
    )


def _luck(verdict: Verdict) -> Luck | None:
    found = verdict.evidence.nulls
    if found is None or not found.drawn:
        return None
    return Luck(found.drawn, found.real, luck(found))


def _check_same(
    verdict: Verdict, surface: Surface, candles: Candles, run: Run, members: Sequence[Run]
) -> None:
    pairs = {
        "the surface's key": (surface.key, verdict.surface_key),
        "the candles' fingerprint": (candles.fingerprint, verdict.market["fingerprint"]),
        "the run's parameters": (dict(run.params), dict(verdict.cell.params)),
        "the bars of the run": (len(run.equity), len(candles)),
        "the members' parameters": (
            [dict(one.params) for one in members],
            [dict(cell.params) for cell in verdict.members],
        ),
    }
    for what, (given, judged) in pairs.items():
        if given != judged:
            raise InputError(f"a section shows what was judged: {what} must be {judged!r}, got {given!r}.")


def _summary(verdict: Verdict, run: Run, members: Sequence[Run], candles: Candles) -> str:
    forward = verdict.evidence.walk_forward
    own = record(members).sharpe if members else run.metrics["sharpe"]
    searched, paid = (metric_text("sharpe", v) for v in (own, forward.sharpe))
    what, they = f"{len(members)} best ones trade together and show", "they were"
    if not members:
        what, they = "chosen one shows", "it was"
    return (
        f"{verdict.evidence.trials_search:,} cells were searched on {len(candles):,} bars, "
        f"{date(candles.first_ms)} to {date(candles.last_ms)}. The {what} a Sharpe of {searched} "
        f"on the data {they} chosen on; refitted on the past and traded forward, the search made {paid} "
        f"({forward.trades:,} trades)."
    )


def _figures(verdict: Verdict, run: Run, members: Sequence[Run], equity: np.ndarray) -> dict[str, Any]:
    names = ("sharpe", "net_profit", "max_drawdown", "trades", "break_even_cost_bps")
    own = figures_together(members, equity) if members else {name: run.metrics[name] for name in names}
    found = verdict.evidence
    return {
        "Sharpe, forward": metric_text("sharpe", found.walk_forward.sharpe),
        **own,
        "cells searched": found.trials_search,
        **({} if found.trials_ever is None else {"trials ever": found.trials_ever}),
    }


def _planes(verdict: Verdict, surface: Surface, pair: tuple[str, str] | None) -> tuple[Plane, ...]:
    gate, chosen = verdict.evidence.gate, verdict.cell.params
    if not isinstance(surface.cells, Grid) or len(surface.axes) < 2:
        return ()
    metrics = {**surface.metrics, gate.metric: surface.eligible(gate.metric, gate.min_trades)}
    traded = replace(surface, metrics=metrics)
    x, y = pair or max(combinations(surface.axes, 2), key=lambda p: _spread(traded.plane(gate.metric, *p)))
    mark = (chosen[x], chosen[y], "best member" if verdict.members else "chosen")
    marks = [mark]
    if verdict.members:
        places = differing([cell.params for cell in verdict.members], x, y)
        marks = [(one, other, "member") for one, other in places]
    peaks = [*marks]
    if np.isfinite(traded[gate.metric]).any():
        peak = surface.best(gate.metric, gate.min_trades)
        peaks.append((peak.params[x], peak.params[y], "peak"))
    why = "" if pair else "The two parameters that move it most are shown. "
    best = _plane(traded, gate.metric, x, y)
    through = _plane(traded.sel(**{n: chosen[n] for n in surface.axes if n not in (x, y)}), gate.metric, x, y)
    if len(surface.axes) == 2:
        return (replace(best, marks=peaks, title=f"{x} against {y}"),)
    return (
        replace(best, marks=peaks, note=f"{why}The best of many looks good by luck alone."),
        replace(through, marks=[mark], title=f"all other parameters as {_as_chosen(verdict)}"),
    )


def _as_chosen(verdict: Verdict) -> str:
    return "in the best member" if verdict.members else "chosen"


def _planes_by_regime(planes: Sequence[Plane], searched: Surface | None) -> tuple[Plane, ...]:
    """The expectancy per regime over the parameters of the first plane, its median over all others."""
    request = searched.extras.request if searched and searched.extras else None
    if searched is None or request is None or not request.n_regimes or not planes:
        return ()
    first, axes = planes[0], list(searched.axes)
    x, y = (
        next(n for n in axes if _with_unit(searched, n) == label) for label in (first.x_label, first.y_label)
    )
    return tuple(
        replace(
            first,
            z=searched.plane("expectancy", x, y, "median", regime),
            metric="expectancy",
            title=f"decided in {name}, median over all other parameters",
            marks=(),
            note="Described, not tested: no cell was chosen by it.",
        )
        for regime, name in enumerate(request.regime_names)
    )


def _plane(surface: Surface, metric: str, x: str, y: str) -> Plane:
    axes = surface.axes[x].tolist(), surface.axes[y].tolist()
    return Plane(surface.plane(metric, x, y), *axes, _with_unit(surface, x), _with_unit(surface, y), metric)


def _spread(plane: np.ndarray) -> float:
    finite = plane[np.isfinite(plane)]
    return float(finite.std()) if finite.size else 0.0


def _with_unit(surface: Surface, name: str) -> str:
    return f"{name} ({surface.cells.space[name].unit})"


def _chosen(verdict: Verdict, surface: Surface) -> ChosenCell:
    gate, params = verdict.evidence.gate, surface.cells.space
    plateau = _plateau(verdict, surface)
    return ChosenCell(
        verdict.cell.params,
        half_width=plateau.half_width if plateau else {},
        units={name: params[name].unit for name in verdict.cell.params},
        meanings={name: params[name].meaning for name in verdict.cell.params},
        metrics=verdict.cell.metrics,
        neighbours=plateau.neighbours if plateau else None,
        profiles=_profiles(verdict, surface, plateau),
        metric=gate.metric,
        note=(_member_note(verdict) or _plateau_note(plateau)) + _edge_note(verdict, surface),
    )


def _plateau(verdict: Verdict, surface: Surface) -> Plateau | None:
    gate = verdict.evidence.gate
    if not np.isfinite(surface.eligible(gate.metric, gate.min_trades)).any():
        return None
    found = surface.plateau(gate.metric, gate.min_trades)
    return found if found.cell.index == verdict.cell.index else None


def _member_note(verdict: Verdict) -> str:
    if not verdict.members:
        return ""
    label = metric_style(verdict.evidence.gate.metric).label
    return (
        f"The best of the {len(verdict.members)} members by {label}, alone; the fills and trades are its own."
    )


def _plateau_note(plateau: Plateau | None) -> str:
    if plateau is None:
        return "No cell traded often enough to be chosen for its neighbourhood; this one trades most."
    here, around = (
        metric_text(plateau.metric, v) for v in (plateau.cell.metrics[plateau.metric], plateau.mean)
    )
    label = metric_style(plateau.metric).label
    return (
        f"Chosen for its neighbourhood, not for itself: {label} {here} here, {around} on average around it."
    )


def _edge_note(verdict: Verdict, surface: Surface) -> str:
    if not isinstance(surface.cells, Grid):
        return ""
    edges = [
        name
        for k, (name, axis) in enumerate(surface.axes.items())
        if len(axis) > 2 and is_ordered(surface.cells, name) and verdict.cell.index[k] in (0, len(axis) - 1)
    ]
    return f" At the edge of what was searched: {', '.join(edges)}." if edges else ""


def _profiles(verdict: Verdict, surface: Surface, plateau: Plateau | None) -> list[Profile]:
    if not isinstance(surface.cells, Grid):
        return []
    values, index = surface[verdict.evidence.gate.metric], verdict.cell.index
    profiles: list[Profile] = []
    for k, (name, axis) in enumerate(surface.axes.items()):
        through = values[tuple(slice(None) if i == k else j for i, j in enumerate(index))]
        width = plateau.half_width.get(name) if plateau and is_ordered(surface.cells, name) else None
        profiles.append((name, axis.tolist(), through, verdict.cell.params[name], width))
    return [profile for profile in profiles if len(profile[1]) > 1]


def _recent(candles: Candles, share: float) -> list[tuple[int, int, str]]:
    start = candles.timestamps[int(len(candles) * (1 - share))]
    return [(int(start), candles.last_ms, f"last {share:.0%}")]


def _costs(execution: Execution) -> dict[str, str]:
    costs, sizing = execution.costs, execution.to_json()["sizing"]
    size = ", ".join(f"{name} {value:g}" for name, value in sizing.items() if name != "kind")
    caveat = {"fills": execution.caveat} if execution.caveat else {}
    return caveat | {
        "taker fee a side": f"{costs.taker:.3%}",
        "maker fee a side": f"{costs.maker:.3%}",
        "slippage a side": f"{costs.slippage_bps:g} bps",
        "funding per 8 h": f"{costs.funding_8h:.3%}",
        "direction": execution.direction,
        "sizing": f"{sizing['kind']} ({size})",
    }


def _market(candles: Candles) -> dict[str, Any]:
    known = candles.close[np.isfinite(candles.close)]
    return {
        "exchange": candles.exchange,
        "symbol": candles.symbol,
        "timeframe": candles.timeframe,
        "from": date(candles.first_ms),
        "to": date(candles.last_ms),
        "market held": metric_text("net_profit", known[-1] / known[0] - 1),
    }


def _close_ups(run: Run, candles: Candles) -> list[CloseUp]:
    closed = run.closed
    if not len(closed):
        return []
    order = np.argsort(closed["trade_return"], kind="stable")
    picked = {"The middling trade": order[len(order) // 2], "The worst trade": order[0]}
    return [_close_up(title, closed[int(k)], candles) for title, k in picked.items()]


def _close_up(title: str, trade: Any, candles: Candles) -> CloseUp:
    first, cut, last = (int(trade[name]) for name in ("entry_bar", "partial_bar", "exit_bar"))
    part = candles[max(0, first - _BEFORE) : last + _AFTER]
    side, reason = "long" if trade["side"] > 0 else "short", REASONS[trade["reason"]]
    result = metric_text("net_profit", float(trade["trade_return"]))
    return CloseUp(
        f"{title}: {side}, {number_text(int(trade['bars_held']))} bars, {result} by {reason}",
        part.timestamps,
        part.open,
        part.high,
        part.low,
        part.close,
        [(int(candles.timestamps[first]), float(trade["entry_price"]), side)],
        [
            *([(int(candles.timestamps[cut]), float(trade["partial_price"]), "partial")] if cut >= 0 else []),
            (int(candles.timestamps[last]), float(last_fill(trade)), reason),
        ],
    )


def _provenance(verdict: Verdict, surface: Surface) -> dict[str, Any]:
    params = [cell.params for cell in verdict.members]
    return {
        **({"group": group_id(surface.key, params)} if params else {}),
        "quantlab": quantlab.__version__,
        "strategy code": surface.strategy.code_hash,
        "candles": surface.identity.fingerprint,
        "surface": surface.key,
    }
