"""What the explorer's tests share: a space, a wire instead of a browser, planes from a plain loop."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from quantlab.explore.planes import Searched
from quantlab.space import Choice, Float, Int, Space

AXES = {"fast": [5, 8, 12, 20], "slow": [10, 30, 60], "max_holding": [5, 20, 50, 80, 90]}
SPACE = Space(
    Int("fast", 2, 100, 10, "bars", "the short one"),
    Int("slow", 2, 300, 50, "bars", "the long one"),
    Float("stop", 0.001, 0.5, 0.05, "fraction", "how far the stop is", role="exit"),
    Int("max_holding", 1, 100, 20, "bars", "longest", role="exit"),
    Choice("side", ("with", "against"), "with", "name", "which way"),
    constraints=("fast < slow",),
)


class Wire:
    """What a widget sends, instead of a browser."""

    def __init__(self, widget: Any) -> None:
        self.widget, self.sent = widget, []
        widget.send = lambda message, buffers=None: self.sent.append((message, buffers or []))

    def ask(self, **message: Any) -> list[tuple[dict[str, Any], list[bytes]]]:
        self.sent.clear()
        self.widget._handle_custom_msg({"seq": 7, **message}, [])
        return list(self.sent)

    def error(self, **message: Any) -> str:
        answers = [m for m, _ in self.ask(**message)]
        assert [m["type"] for m in answers] == ["error"]
        assert answers[0]["seq"] == 7
        return str(answers[0]["text"])


def oracle(searched: Searched, view: Any, key: str) -> np.ndarray:
    """The plane of a pane, cell by cell: median first over its axes, then the best of what is left."""
    surface = searched.first
    axes = list(surface.axes)
    main = np.where(surface["trades"] >= view.min_trades, surface[view.metric], np.nan)
    shown = searched.values(key, view.metric)[0]
    size = {name: len(values) for name, values in surface.axes.items()}
    best = [n for n in axes if view.at.get(n) == "best"]
    median = [n for n in axes if view.at.get(n) == "median"]
    out = np.full((size.get(view.y, 1), size[view.x]), np.nan)
    for y, x in np.ndindex(*out.shape):
        found = []
        for over in itertools.product(*(range(size[n]) for n in best)):
            place = {view.x: x, **({view.y: y} if view.y else {}), **dict(zip(best, over, strict=True))}
            place |= {n: v for n, v in view.at.items() if isinstance(v, int)}
            cells = []
            for middle in itertools.product(*(range(size[n]) for n in median)):
                at = place | dict(zip(median, middle, strict=True))
                cells.append(tuple(at[n] for n in axes))
            known = [c for c in cells if not np.isnan(main[c])]
            if known:
                found.append((float(np.median([main[c] for c in known])), known))
        if found:
            chosen = max(found, key=lambda pair: pair[0])[1]
            values = [shown[c] for c in chosen]
            values = [v for v in values if not np.isnan(v)]
            out[y, x] = np.median(values) if values else np.nan
    return out


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)
