"""The explorer as an application: Voila runs the notebook and shows its outputs without its cells.

Skipped where Voila or Chromium is missing; `pip install voila` is enough, it is no dependency.
"""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from jupyter import CHROMIUM, browser, free_port, notebook, opened, own_folders

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: `apt-get install chromium`"),
    pytest.mark.skipif(
        importlib.util.find_spec("voila") is None, reason="no Voila here: `pip install voila`"
    ),
]

CELLS = [
    "import quantlab as ql\nlab = ql.open()\nlab.put_candles(ql.sample_candles())",
    'hours = lab.candles("coinbase", "BTC/USD", "1h")[-3_000:]\n'
    'lab.explore(lab.sweep("sma_cross", hours, progress=False), x="slow", y="fast", min_trades=1)',
]


def test_voila_shows_the_explorer_and_opens_a_cell(tmp_path: Path) -> None:
    (tmp_path / "explorer.ipynb").write_text(notebook(CELLS), encoding="utf-8")
    port, told = free_port(), tmp_path / "voila.log"
    command = [sys.executable, "-m", "voila", "--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}"]
    with told.open("w") as log:
        server = subprocess.Popen(
            [*command, str(tmp_path / "explorer.ipynb")], env=own_folders(tmp_path), stdout=log, stderr=log
        )
        try:
            _wait(port, server, told)
            with browser() as chromium, opened(chromium, "about:blank") as page:
                page.page.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
                page.wait(".qlx[data-ready]")
                page.click_cell(0.3, 0.1)
                page.wait(".qlx[data-sel]")
                assert page.complaints == []
                assert all("/@fortawesome/" in url for url in page.outside)  # its own icons
        finally:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=20)
            server.kill()


def _wait(port: int, server: subprocess.Popen[bytes], told: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise AssertionError(f"Voila does not answer: {told.read_text()[-2000:]}")
