"""What the explorer knows and does, without a browser: it takes messages and answers with state.

The widget around it (`quantlab.explore.widget`) only carries both over the wire.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Protocol

import numpy as np

from quantlab.backtest.execution import ASSUMPTIONS, DIRECTIONS
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.surface import Surface
from quantlab.backtest.trades import Run
from quantlab.errors import InputError
from quantlab.explore import detail, told
from quantlab.explore.packing import packed
from quantlab.explore.planes import Planes, Searched, Stage, View, check_view, first_view, planes
from quantlab.explore.rules import read_rules, written_rules
from quantlab.explore.tables import date, param_text
from quantlab.figures.colours import DIVERGING, SEQUENTIAL
from quantlab.market.candles import Candles
from quantlab.space import Grid
from quantlab.validation.ensemble import choose_ensemble
from quantlab.validation.verdict import Verdict

_FEW = 8
"""Cells in view are swept ahead of the others if they are no more than one in so many."""

Mark = tuple[str, str, Mapping[str, Any]]
"""Kind, label and parameters of a mark."""


class Approved(Protocol):
    """What an approval came to."""

    @property
    def id(self) -> str:
        """Of its row."""
        ...


class Actions(Protocol):
    """What an explorer asks of whoever opened it; each may raise."""

    def candles(self, surface: Surface) -> Candles:
        """The candles of a surface."""
        ...

    def opened(self, surface: Surface, params: Mapping[str, Any]) -> tuple[dict[str, Run], np.ndarray | None]:
        """One cell under every fill assumption, its own first, and the prices of the first one's stops."""
        ...

    def sweep(
        self, searched: Searched, rules: Mapping[str, Any], in_view: Mapping[str, Any] | None
    ) -> Iterator[Stage]:
        """The same question under other rules, fixed parameters or dates; cells in view first."""
        ...

    def validate(self, surface: Surface, tell: Callable[[float, str], None]) -> Verdict:
        """What the gate says."""
        ...

    def approve(self, verdict: Verdict, by: str, reason: str) -> Approved:
        """Approve what the gate approved."""
        ...

    def approved(self, surface: Surface) -> list[Mapping[str, Any]]:
        """Parameters of what is approved for the same strategy, market and timeframe."""
        ...

    def counted(self, surface: Surface) -> tuple[int, int]:
        """Cells and searches ever counted on the market and period of a surface."""
        ...

    def notes(self, searched: Searched) -> list[str]:
        """What must be said about this surface, e.g. that other code made it."""
        ...


@dataclass(frozen=True)
class Answer:
    """State that changed, and messages to send.

    Attributes
    ----------
    state : dict
        Names of the widget's traits to their new values.
    messages : list of (dict, list of bytes)
    """

    state: dict[str, Any]
    messages: list[tuple[dict[str, Any], list[bytes]]]


class Explorer:
    """A surface in view, a cell selected, and what was asked of the gate.

    Parameters
    ----------
    searched : Searched
    actions : Actions
    **view
        ``metric``, ``x``, ``y``, ``third``, ``min_trades``: what is in view at first.
    """

    def __init__(self, searched: Searched, actions: Actions, **view: Any) -> None:
        self.searched, self.actions = searched, actions
        self.view: View = first_view(searched, view)
        self.selected: tuple[int, ...] | None = None
        self.verdict: Verdict | None = None
        self._planes: Planes | None = None
        self._marked: tuple[tuple[str, str, int] | None, list[Mark]] = None, []
        self._seq = 0
        self._lock = threading.RLock()
        self._handlers: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
            "hello": self._hello,
            "view": self._look,
            "marks": lambda _: Answer({"marks": self.marks()}, []),
        }

    def answers(self, message: Mapping[str, Any]) -> Iterator[Answer]:
        """Answer a message of the browser, each part as soon as it is known.

        Raises
        ------
        InputError
            There is no such message, or what it asks for does not exist.
        """
        kind = str(message.get("type"))
        with self._lock:
            if kind == "rules":
                yield from self._rules(message)
            elif kind == "select":
                yield from self._select(message)
            elif kind in self._handlers:
                yield self._handlers[kind](message)
            else:
                raise InputError(f"the explorer knows no message {kind!r}: reload the page.")

    def state(self) -> dict[str, Any]:
        """All traits, as they are now."""
        with self._lock:
            return {
                "about": self.about(),
                "view": self.view.to_json(),
                "plane": self.plane(),
                "marks": self.marks(),
                "rules": written_rules(self.searched),
                "selected": self.chosen(),
            }

    def about(self) -> dict[str, Any]:
        """What does not change with the view: names, axes, metrics, what else may be shown."""
        surface = self.searched.whole
        where = surface.identity
        cells, searches = self.actions.counted(surface)
        return {
            "strategy": surface.strategy.name,
            "market": f"{where.exchange} {where.symbol} {where.timeframe}",
            "period": f"{date(where.first_ms)} to {date(where.last_ms)}, {where.bars:,} bars",
            "cells": surface.size,
            "key": surface.key[:12],
            "counted": [cells, searches],
            "caveat": surface.execution.caveat,
            "notes": self.actions.notes(self.searched),
            "split": self.searched.split_ms,
            "panes": self.searched.panes(),
            "kind": told.kind(self.searched, self.view),
            "axes": told.axes(self.searched),
            "fixed": {n: param_text(v) for n, v in told.fixed(surface).items()},
            "metrics": [told.metric(name) for name in METRICS if name in surface.metrics],
            "extras": self.searched.extras(),
            "choices": {"assumption": ASSUMPTIONS, "direction": DIRECTIONS, "sizing": ["AllIn", "Risk"]},
            "colours": {"diverging": DIVERGING, "sequential": SEQUENTIAL},
        }

    def plane(self) -> dict[str, Any]:
        """The panes in view, values as bytes."""
        self._planes = planes(self.searched, self.view)
        return self._shown(self._planes, self.searched, self.view)

    def _shown(self, found: Planes, searched: Searched, view: View, left: str = "") -> dict[str, Any]:
        self._seq += 1
        ny, nx = found.cell.shape
        shown: dict[str, Any] = {
            "seq": self._seq,
            "nx": nx,
            "ny": ny,
            "left": left,
            "empty": told.why_empty(searched, view, found),
        }
        if not self.searched.is_grid:
            columns = self.searched.whole.cells.mesh()
            for side, name in (("px", self.view.x), ("py", self.view.y)):
                shown[side] = told.numbers(columns[name]).astype("<f4").tobytes()
        return shown | {"panes": [packed(pane) for pane in found.panes]}

    def panes(self) -> Planes:
        """The panes in view."""
        return self._planes or planes(self.searched, self.view)

    def marks(self, searched: Searched | None = None) -> list[dict[str, Any]]:
        """Ensemble, peak, plateau, the gate's candidate, what is approved: label and place on every axis."""
        searched = searched or self.searched
        found = self._outstanding(searched.first)
        if self.verdict is not None and searched is self.searched:
            found.append(("candidate", "judged by the gate", self.verdict.cell.params))
        found += [("approved", "approved", params) for params in self.actions.approved(searched.whole)]
        return [{"kind": k, "label": label, "at": told.where(searched, params)} for k, label, params in found]

    def _outstanding(self, surface: Surface) -> list[Mark]:
        """Ensemble, peak and plateau; they do not move with the sliders, so they are looked for once."""
        metric, least = self.view.metric, self.view.min_trades
        asked = surface.key, metric, least
        if asked != self._marked[0]:
            found: list[Mark] = []
            if "trades" in surface.metrics and surface.size <= 5_000_000:
                members = choose_ensemble(surface, metric, least)
                found += [("ensemble", "ensemble", member.params) for member in members]
                with contextlib.suppress(InputError):  # no cell has the metric and enough trades
                    found.append(("peak", "peak", surface.best(metric, least).params))
                    found.append(("plateau", "plateau", surface.plateau(metric, least).cell.params))
            self._marked = asked, found
        return [*self._marked[1]]

    def chosen(self) -> dict[str, Any]:
        """The selected cell: its index, and its place in view where the view goes through it."""
        if self.selected is None:
            return {}
        number = int(np.ravel_multi_index(self.selected, self.searched.whole.shape))
        places = np.argwhere(self.panes().cell == number)
        self._seq += 1
        return {
            "index": list(self.selected),
            "place": [int(places[0][1]), int(places[0][0])] if len(places) else None,
            "seq": self._seq,
        }

    def detail(self) -> tuple[dict[str, Any], list[bytes]]:
        """What is shown of the selected cell."""
        if self.selected is None:
            raise InputError("no cell is selected: click one.")
        surface = self.searched.whole
        runs, stops = self.actions.opened(surface, surface.cells.cell(self.selected))
        found, buffers = detail.cell_detail(self.searched, self.selected, runs, stops)
        return {"type": "cell", **found}, buffers

    def judge(self, tell: Callable[[float, str], None]) -> dict[str, Any]:
        """Ask the gate; slow, and meant for a thread of its own."""
        surface = self.searched.whole
        verdict = self.actions.validate(surface, tell)
        with self._lock:
            if surface is not self.searched.whole:
                raise InputError("other rules were swept while the gate was at work: validate again.")
            self.verdict = verdict
            return told.verdict(verdict, surface)

    def approve(self, by: str, reason: str) -> dict[str, Any]:
        """Approve what the gate approved.

        Raises
        ------
        InputError
            The gate was not asked, or it refused.
        """
        if self.verdict is None:
            raise InputError("there is nothing to approve yet: validate first.")
        if not self.verdict.approved:
            raise InputError("the gate refused: what it refused cannot be approved.")
        done = self.actions.approve(self.verdict, by, reason)
        return {"ok": True, "id": done.id}

    def _hello(self, message: Mapping[str, Any]) -> Answer:
        found, buffers = detail.market(self.actions.candles(self.searched.whole))
        messages = [({"type": "market", **found}, buffers)]
        if self.selected is not None:
            messages.append(self.detail())
        return Answer({}, messages)

    def _look(self, message: Mapping[str, Any]) -> Answer:
        self.view = check_view(self.searched, {**self.view.to_json(), **message["view"]})
        state = {"view": self.view.to_json(), "plane": self.plane()}
        return Answer(state | ({"selected": self.chosen()} if self.selected else {}), [])

    def _select(self, message: Mapping[str, Any]) -> Iterator[Answer]:
        if message.get("index") is not None:
            index = tuple(map(int, message["index"]))
        else:
            cells, x, y = self.panes().cell, int(message["x"]), int(message["y"])
            if not (0 <= y < cells.shape[0] and 0 <= x < cells.shape[1]):
                raise InputError(
                    f"column {x}, row {y} is not on this plane of {cells.shape[1]} x {cells.shape[0]}."
                )
            if cells[y, x] < 0:
                raise InputError(told.why_undefined(self.view, x, y))
            index = tuple(map(int, np.unravel_index(int(cells[y, x]), self.searched.whole.shape)))
        shape = self.searched.whole.shape
        if len(index) != len(shape) or not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
            raise InputError(f"{index} is no cell of a surface of shape {shape}.")
        if not self.searched.whole.cells.allowed[index]:
            clauses = " and ".join(f"`{c}`" for c in self.searched.whole.cells.space.constraints)
            raise InputError(
                f"this cell breaks a constraint of the strategy ({clauses}): it was never traded."
            )
        self.selected = index
        yield Answer({}, [self.detail()])  # what is waited for goes first
        yield Answer({"selected": self.chosen()}, [])

    def _rules(self, message: Mapping[str, Any]) -> Iterator[Answer]:
        """Sweep under other rules: the cells in view are shown first, then both parts, then everything."""
        rules, before = read_rules(self.searched, message["rules"]), self.searched.whole
        try:
            for stage in self.actions.sweep(self.searched, rules, self._few()):
                if not stage.left:
                    yield self._changed(stage.searched, before)
                elif self.view.third != "own":  # which shows the whole history
                    yield from self._ahead(stage)
        except Exception:
            yield Answer({"plane": self.plane(), "marks": self.marks()}, [])
            raise

    def _few(self) -> dict[str, Any] | None:
        """The values of each axis that the cells in view have; None if they are many, or not all of it."""
        grid = self.searched.whole.cells
        if not isinstance(grid, Grid) or self.view.third in ("score", "own"):
            return None
        at = self.view.at
        axes = {n: v[k : k + 1] if isinstance(k := at.get(n), int) else v for n, v in grid.axes.items()}
        return axes if prod(map(len, axes.values())) <= grid.size // _FEW else None

    def _ahead(self, stage: Stage) -> Iterator[Answer]:
        """What is known before everything is: planes, and marks where all cells are there."""
        searched, view, few = stage.searched, self._view_of(stage.searched), stage.left == "view"
        if few:
            view = replace(view, at={name: 0 if isinstance(k, int) else k for name, k in view.at.items()})
        state: dict[str, Any] = {"plane": self._shown(planes(searched, view), searched, view, stage.left)}
        yield Answer(state | ({"marks": []} if few else {}), [])
        if not few:
            yield Answer({"marks": self.marks(searched)}, [])

    def _view_of(self, searched: Searched) -> View:
        """The view on another surface, without a further pane that it does not have."""
        third = self.view.third
        known = third.startswith("metric:") or third in {**searched.extras(), "": ""}
        return self.view if known else replace(self.view, third="")

    def _changed(self, searched: Searched, before: Surface) -> Answer:
        """Everything under other rules."""
        self.searched, self.verdict, self.view = searched, None, self._view_of(searched)
        state: dict[str, Any] = {
            "plane": self.plane(),
            "view": self.view.to_json(),
            "marks": self.marks(),
            "about": self.about(),
            "rules": written_rules(self.searched),
            "job": {},
        }
        messages = []
        if before.identity.fingerprint != self.searched.whole.identity.fingerprint:
            found, buffers = detail.market(self.actions.candles(self.searched.whole))
            messages.append(({"type": "market", **found}, buffers))
        return Answer(state, messages)
