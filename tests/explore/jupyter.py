"""A JupyterLab on loopback and a page in a real browser, for tests and benchmarks: nothing is downloaded."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 90_000


@dataclass
class Jupyter:
    """A running server: where it listens and what lets us in."""

    port: int
    token: str
    root: Path
    log: Path

    def url(self, notebook: str) -> str:
        return f"http://127.0.0.1:{self.port}/doc/tree/{notebook}?reset&token={self.token}"


def notebook(cells: Sequence[str]) -> str:
    """A notebook of code cells that have not run."""
    made = [
        {
            "cell_type": "code",
            "id": f"cell-{i}",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": c,
        }
        for i, c in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps({"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})


def own_folders(home: Path) -> dict[str, str]:
    """The environment of a server whose settings, kernels and lab lie under `home`."""
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "share",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "QUANTLAB_HOME": "lab",
    }
    environment = {**os.environ, **{name: str(home / folder) for name, folder in own.items()}}
    environment.pop("QUANTLAB_DSN", None)
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    return environment


@contextlib.contextmanager
def jupyter(home: Path) -> Iterator[Jupyter]:
    """JupyterLab with settings, kernels and a lab of its own under `home`."""
    root = home / "notebooks"
    root.mkdir(parents=True)
    environment = own_folders(home)
    quiet = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}), encoding="utf-8")
    found = Jupyter(free_port(), secrets.token_hex(16), root, home / "jupyter.log")
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={found.port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={found.token}",
        f"--ServerApp.root_dir={root}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with found.log.open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait(found, server)
            yield found
        finally:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=20)
            server.kill()


@dataclass
class Page:
    """A notebook in the browser.

    Attributes
    ----------
    page : playwright page
    outside : list of str
        Requests that left loopback; a test wants none.
    complaints : list of str
        Errors that the page threw.
    """

    page: Any
    outside: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def run_all(self) -> None:
        """Run all cells; an error in one of them is raised here."""
        self.page.wait_for_function(
            """() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session
            ?.kernel?.status === 'idle'""",
            timeout=PATIENCE_MS,
        )
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        said = self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.widgets.flatMap(cell =>
            (cell.model.toJSON().outputs || []).filter(o => o.output_type === 'error')
            .map(o => o.traceback.join('\\n')))"""
        )
        assert not said, said[0]

    def state(self, name: str) -> str:
        """A ``data-`` attribute of the widget."""
        return self.page.get_attribute(".qlx", f"data-{name}") or ""

    def wait(self, selector: str) -> Any:
        """Wait until the page has it."""
        return self.page.wait_for_selector(selector, timeout=PATIENCE_MS, state="attached")

    def until(self, condition: str, argument: Any = None) -> None:
        """Wait until a function of JavaScript is true."""
        self.page.wait_for_function(condition, arg=argument, timeout=PATIENCE_MS)

    def click_cell(self, column: float, row: float, pane: int = 0) -> None:
        """Click at a share of the width and height of a pane's plane, both from 0 to 1, row 0 below."""
        over = self.page.locator(".qlx .over").nth(pane)
        over.scroll_into_view_if_needed()
        box = over.bounding_box()
        left, bottom, top, right = 66.0, 40.0, 6.0, 8.0
        x = left + column * (box["width"] - left - right)
        y = top + (1 - row) * (box["height"] - top - bottom)
        over.click(position={"x": x, "y": y})


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium, the one that is installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield opened
        finally:
            opened.close()


@contextlib.contextmanager
def opened(browser: Any, url: str, **context: Any) -> Iterator[Page]:
    """A page of its own on a notebook."""
    around = browser.new_context(**({"viewport": {"width": 1480, "height": 1300}} | context))
    page = Page(around.new_page())
    page.page.set_default_timeout(PATIENCE_MS)
    page.page.on("request", lambda request: _note(page.outside, request.url))
    page.page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.page.goto(url)
    try:
        yield page
    finally:
        around.close()


def _note(outside: list[str], url: str) -> None:
    if not url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "about:")):
        outside.append(url)


def _wait(found: Jupyter, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise AssertionError(f"JupyterLab ended: {found.log.read_text()[-2000:]}")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{found.port}/api?token={found.token}", timeout=2)
            return
        time.sleep(0.2)
    raise AssertionError(f"JupyterLab does not answer: {found.log.read_text()[-2000:]}")


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
