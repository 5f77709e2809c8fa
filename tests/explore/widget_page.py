"""A page with one widget in it and a model as ipywidgets would give it: the real module in a real browser."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
_PAGE = """<!doctype html><html><head><meta charset="utf-8"><style>body{margin:16px}%(css)s</style></head>
<body><div id="widget"></div><script id="state" type="application/json">%(state)s</script>
<script type="module">
const read = (value) => {
  if (Array.isArray(value)) return value.map(read);
  if (value === null || typeof value !== "object") return value;
  if (value.__bytes__ !== undefined) {
    const text = atob(value.__bytes__), bytes = new Uint8Array(text.length + 1);
    for (let i = 0; i < text.length; i++) bytes[i + 1] = text.charCodeAt(i);
    return new DataView(bytes.buffer, 1); // unaligned, as a websocket may deliver it
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, read(item)]));
};
const state = read(JSON.parse(document.getElementById("state").textContent)), heard = {};
const model = {
  get: (name) => state[name],
  set: (name, value) => { state[name] = value; (heard[`change:${name}`] ?? []).forEach((act) => act()); },
  save_changes: () => { window.saved = (window.saved ?? 0) + 1; },
  on: (names, act) => names.split(" ").forEach((name) => (heard[name] ??= []).push(act)),
  off: (names, act) => names.split(" ").forEach((name) => {
    heard[name] = (heard[name] ?? []).filter((one) => one !== act);
  }),
  send: (message) => (window.sent ??= []).push(message),
};
window.model = model;
window.change = (changes) => Object.entries(read(changes)).forEach(([name, value]) => model.set(name, value));
const module = await import(URL.createObjectURL(new Blob([%(module)s], {type: "text/javascript"})));
window.cleanup = await module.default.render({model, el: document.getElementById("widget")});
</script></body></html>"""


@dataclass
class Page:
    """A tab of the browser, every request that left this machine, and every error that the page threw."""

    tab: Any
    asked: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def note(self, url: str) -> None:
        if not url.startswith(("file:", "blob:", "data:")):
            self.asked.append(url)


def plain(value: Any) -> Any:
    """A state as JSON: bytes in base64."""
    if isinstance(value, bytes):
        return {"__bytes__": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def page_of(widget: Any) -> str:
    """The HTML of a page that shows a widget in its present state."""
    state = {name: plain(getattr(widget, name)) for name in widget.trait_names(sync=True) if name[0] != "_"}
    for name in ("layout", "tabbable", "tooltip"):
        state.pop(name, None)
    script = {"state": json.dumps(state), "module": json.dumps(widget._esm)}
    return _PAGE % {"css": widget._css, **{name: text.replace("</", "<\\/") for name, text in script.items()}}


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless Chromium, the one that is installed; one at a time in a process."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@contextmanager
def shown(
    browser: Any, widget: Any, folder: Path, *, dark: bool = False, size: tuple[int, int] = (1000, 640)
) -> Iterator[Page]:
    """A widget in a browser."""
    path = folder / "widget.html"
    path.write_text(page_of(widget), encoding="utf-8")
    around = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
    )
    page = Page(around.new_page())
    page.tab.set_default_timeout(90_000)
    page.tab.on("request", lambda request: page.note(request.url))
    page.tab.on("pageerror", lambda error: page.errors.append(str(error)))
    page.tab.goto(path.as_uri())
    yield page
    around.close()
