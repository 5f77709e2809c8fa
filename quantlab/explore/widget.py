"""The surface explorer in a notebook: an anywidget around `quantlab.explore.explorer.Explorer`.

Import it only where a widget is wanted: it needs ipywidgets, which is slow to import.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from quantlab.explore.explorer import Answer, Explorer
from quantlab.explore.picture import png
from quantlab.explore.told import said

STATIC = Path(__file__).with_name("static")
_LEAST_S = 0.1


class SurfaceExplorer(anywidget.AnyWidget):
    """A surface to look at, click through, judge and approve; made by `Lab.explore`.

    The state is in the traits, so that a reloaded page shows what it showed. Callbacks may run on a thread
    beside the notebook's.

    Parameters
    ----------
    explorer : Explorer
    """

    _esm = STATIC / "explorer.js"
    _css = STATIC / "explorer.css"

    about = traitlets.Dict().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)
    plane = traitlets.Dict().tag(sync=True)
    marks: Any = traitlets.List().tag(sync=True)
    rules = traitlets.Dict().tag(sync=True)
    selected = traitlets.Dict().tag(sync=True)
    job = traitlets.Dict().tag(sync=True)

    def __init__(self, explorer: Explorer) -> None:
        super().__init__(**explorer.state())
        self.explorer = explorer
        self._jobs = threading.Lock()
        self.on_msg(self._receive)

    def __repr__(self) -> str:
        surface = self.explorer.searched.whole
        shape = " x ".join(map(str, surface.shape))
        return f"SurfaceExplorer({surface.strategy.name}, {shape} = {surface.size:,} cells)"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        picture = base64.b64encode(png(self.explorer.panes().panes)).decode()
        return {**data, "text/plain": repr(self), "image/png": picture}, metadata

    @property
    def verdict(self) -> Any:
        """What the gate said of this surface, if it was asked here; None else."""
        return self.explorer.verdict

    @property
    def cell(self) -> Any:
        """The selected cell of the surface; None if none is."""
        index = self.explorer.selected
        return None if index is None else self.explorer.searched.whole.cell(index)

    @property
    def surface(self) -> Any:
        """The surface in view: the one that was given, or the last one that was swept here."""
        return self.explorer.searched.whole

    def select(self, **params: Any) -> None:
        """Select the cell with these parameters; axes that are not named stay where they are."""
        surface = self.explorer.searched.whole
        index = list(self.explorer.selected or [0] * len(surface.shape))
        for name, value in params.items():
            surface.sel(**{name: value})  # says so, if there is no such value
            index[list(surface.axes).index(name)] = int((surface.axes[name] == value).argmax())
        self._receive(self, {"type": "select", "index": index}, [])

    def _receive(self, _: Any, message: Any, buffers: list[bytes]) -> None:
        """Answer the browser; whatever goes wrong is shown there."""
        del buffers
        seq = message.get("seq") if isinstance(message, dict) else None
        try:
            kind = message["type"]
            if kind == "validate":
                self._begin(self._validate)
            elif kind == "approve":
                self._approve(message)
            else:
                for answer in self.explorer.answers(message):
                    self._show(answer)
                if kind == "view":
                    self.marks = self.explorer.marks()
        except Exception as error:
            self.send({"type": "error", "seq": seq, "text": said(error)})
        else:
            self.send({"type": "done", "seq": seq})

    def _show(self, answer: Answer) -> None:
        with self.hold_sync():
            for name, value in answer.state.items():
                setattr(self, name, value)
        for message, buffers in answer.messages:
            self.send(message, buffers)

    def _begin(self, work: Callable[[], None]) -> None:
        if not self._jobs.acquire(blocking=False):
            return  # it is under way already
        self.job = {"state": "running", "share": 0.0, "step": "the gate begins"}

        def run() -> None:
            try:
                work()
            except BaseException as error:  # a thread's error would be seen by nobody
                self.job = {"state": "failed", "text": said(error)}
            finally:
                self._jobs.release()

        threading.Thread(target=run, name="quantlab-explorer", daemon=True).start()

    def _validate(self) -> None:
        begun, last = time.monotonic(), [0.0]

        def tell(share: float, step: str) -> None:
            now = time.monotonic()
            if now - last[0] >= _LEAST_S:
                last[0] = now
                self.job = {"state": "running", "share": share, "step": step, "seconds": now - begun}

        judged = self.explorer.judge(tell)
        self.marks = self.explorer.marks()
        self.job = judged

    def _approve(self, message: dict[str, Any]) -> None:
        done = self.explorer.approve(
            str(message.get("by", "")).strip(), str(message.get("reason", "")).strip()
        )
        self.job = {**self.job, "approval": done}
        self.marks = self.explorer.marks()
