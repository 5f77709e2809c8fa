"""A widget in a real page without a notebook between them: the same module, the same Python, one process.

What JupyterLab itself does to a widget is tested in `test_explorer_browser` as well; here a test starts in a
second instead of a minute.
"""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyter import Page, opened

STATIC = Path(__file__).resolve().parents[2] / "quantlab" / "explore" / "static"
TRAITS = ("about", "view", "plane", "marks", "rules", "selected", "job")
_HARNESS = """
(() => {
  const decoded = value => {
    if (Array.isArray(value)) return value.map(decoded);
    if (value && typeof value === "object") {
      if ("__bytes" in value) {
        const text = atob(value.__bytes), bytes = new Uint8Array(text.length + 3);
        for (let i = 0; i < text.length; i++) bytes[i + 3] = text.charCodeAt(i);
        return new DataView(bytes.buffer, 3, text.length);  // unaligned, as it may come over a wire
      }
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, decoded(v)]));
    }
    return value;
  };
  const state = {}, listeners = {};
  const emit = (name, ...given) => (listeners[name] || []).slice().forEach(call => call(...given));
  const apply = updates => {
    for (const update of updates.map(decoded)) {
      if (update.trait) { state[update.trait] = update.value; emit(`change:${update.trait}`); }
      else emit("msg:custom", update.message, update.buffers);
    }
  };
  const model = {
    get: name => state[name],
    on: (name, call) => (listeners[name] = [...(listeners[name] || []), call]),
    off: (name, call) => (listeners[name] = (listeners[name] || []).filter(c => c !== call)),
    send: message => window.toKernel(message).then(apply),
  };
  window.show = async (source, initial) => {
    Object.assign(state, decoded(initial));
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const widget = (await import(url)).default;
    window.leave = widget.render({ model, el: document.getElementById("here") });
    setInterval(() => window.fromKernel().then(apply), 50);
  };
})();
"""


class Direct:
    """The kernel's side: what the widget sends is kept until the page asks for it."""

    def __init__(self, widget: Any) -> None:
        self.widget, self._mutex, self._kept = widget, threading.Lock(), list[dict[str, Any]]()
        self.answering = True
        widget.send = self._send
        widget.observe(self._changed, list(TRAITS))

    def receive(self, message: dict[str, Any]) -> list[Any]:
        """A message of the page; what there is to answer."""
        if self.answering:
            self.widget._handle_custom_msg(message, [])
        return self.collect()

    def collect(self) -> list[Any]:
        """What was sent since last time."""
        with self._mutex:
            kept, self._kept = self._kept, []
        return _encoded(kept)

    def _send(self, message: Any, buffers: Any = None) -> None:
        with self._mutex:
            self._kept.append({"message": message, "buffers": list(buffers or [])})

    def _changed(self, change: Any) -> None:
        with self._mutex:
            self._kept.append({"trait": change["name"], "value": change["new"]})


@contextlib.contextmanager
def shown(
    browser: Any, widget: Any, *, theme: str = "light", width: int = 1280
) -> Iterator[tuple[Page, Direct]]:
    """A page with the widget and nothing else."""
    kernel = Direct(widget)
    context = {"color_scheme": theme, "viewport": {"width": width, "height": 1000}}
    with opened(browser, "about:blank", **context) as page:
        page.page.expose_function("toKernel", kernel.receive)
        page.page.expose_function("fromKernel", kernel.collect)
        style = (STATIC / "explorer.css").read_text(encoding="utf-8")
        page.page.set_content(
            f"<!doctype html><style>{style} body {{ margin: 8px }}</style><div id=here></div>"
        )
        page.page.evaluate(_HARNESS)
        state = _encoded({name: getattr(widget, name) for name in TRAITS})
        source = (STATIC / "explorer.js").read_text(encoding="utf-8")
        page.page.evaluate("([source, state]) => window.show(source, state)", [source, state])
        page.wait(".qlx[data-ready]")
        yield page, kernel


def _encoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _encoded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_encoded(v) for v in value]
    if isinstance(value, bytes):
        return {"__bytes": base64.b64encode(value).decode()}
    return value
