"""A job as it goes, in a notebook: progress, the best so far, and the null distribution filling up.

Import it only where a widget is wanted: it needs ipywidgets, which is slow to import. All that is shown is
looked up where the job keeps it; closing the page loses nothing, and another page shows the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anywidget
import numpy as np
import traitlets

from quantlab.errors import QuantlabError

STATIC = Path(__file__).with_name("static")


@dataclass(frozen=True, eq=False)
class Look:
    """What one look at a job found.

    Parameters
    ----------
    title, status, told : str
        What it is, its state in a word, and in a sentence.
    progress : float
        Percent.
    ended : bool
        Nothing more will happen.
    kind : {"", "good", "bad"}
        Colours the status.
    metric : str
        What was searched for; empty of a sweep.
    best : float array (trials,)
        The best of it after each trial, NaN until there is one.
    real : float
        What the search found on the market itself; NaN if nothing was asked yet.
    nulls : mapping of str to float array
        What it found on markets without an edge, by the kind of market.
    """

    title: str
    status: str
    told: str
    progress: float
    ended: bool
    kind: Literal["", "good", "bad"] = ""
    metric: str = ""
    best: np.ndarray = field(default_factory=lambda: np.zeros(0))
    real: float = float("nan")
    nulls: Mapping[str, np.ndarray] = field(default_factory=dict)


class LiveView(anywidget.AnyWidget):
    """A job to watch; made by `Lab.watch`. A thread of its own looks until the job has ended.

    Parameters
    ----------
    look : callable ``() -> Look``
        Called on the thread; a `QuantlabError` is shown, and the next look tries again.
    poll_s : float
        Seconds between two looks.
    """

    _esm = STATIC / "live.js"
    _css = STATIC / "live.css"

    state = traitlets.Dict().tag(sync=True)
    curve = traitlets.Dict().tag(sync=True)
    nulls = traitlets.Dict().tag(sync=True)

    def __init__(self, look: Callable[[], Look], poll_s: float = 0.5) -> None:
        self._look, self._poll_s, self._over = look, poll_s, threading.Event()
        first = look()
        super().__init__(**traits(first))
        self._thread = threading.Thread(target=self._watch, name="quantlab-watch", daemon=True)
        if not first.ended:
            self._thread.start()

    def __repr__(self) -> str:
        return f"LiveView({self.state.get('title', '')})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return {**data, "text/plain": repr(self)}, metadata

    def close(self) -> None:
        """Stop looking; the job goes on."""
        self._over.set()
        super().close()

    def _watch(self) -> None:
        while not self._over.wait(self._poll_s):
            try:
                found = self._look()
            except QuantlabError as error:
                self.state = {**self.state, "told": f"{error} Trying again."}
                continue
            with self.hold_sync():
                for name, value in traits(found).items():
                    setattr(self, name, value)
            if found.ended:
                return


def traits(look: Look) -> dict[str, Any]:
    """A look as the page reads it: arrays as bytes of float32."""
    state = {name: getattr(look, name) for name in ("title", "status", "told", "progress", "kind")}
    kinds = [{"name": name, "scores": _bytes(scores)} for name, scores in look.nulls.items()]
    return {
        "state": state,
        "curve": {"metric": look.metric, "best": _bytes(look.best)} if look.metric else {},
        "nulls": {"real": look.real if np.isfinite(look.real) else None, "kinds": kinds} if kinds else {},
    }


def _bytes(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, "<f4").tobytes()
