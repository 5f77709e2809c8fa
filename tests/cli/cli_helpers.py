"""The command line as a process, at a terminal or not, and its answers read."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BTC = ("coinbase", "BTC/USD", "1h")
SMALL = ("--set", "fast=10,20,40", "--set", "slow=20,50,100")
GRID = {"fast": [10, 20, 40], "slow": [20, 50, 100]}
HEAVY = ("numpy", "numba", "pandas", "pyarrow", "psycopg", "scipy", "optuna", "plotly", "vectorbt", "rich")


def process(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quantlab.cli", *arguments],
        env=told(home) | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def told(home: Path) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("QUANTLAB")}
    return inherited | {"QUANTLAB_HOME": str(home)}


@contextlib.contextmanager
def at_a_terminal(home: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process whose standard error is a terminal, and the descriptor of that terminal."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    running = subprocess.Popen(
        [sys.executable, "-m", "quantlab.cli", *arguments],
        env=told(home),
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        with running:
            yield running, ours
    finally:
        os.close(ours)


def read(terminal: int, until: str | None = None) -> str:
    """What a terminal shows, up to a pattern or to the end."""
    shown = ""
    with contextlib.suppress(OSError):  # that is how a terminal ends
        while until is None or not re.search(until, shown):
            if not select.select([terminal], [], [], 60)[0]:
                pytest.fail(f"silent for a minute after: {shown}")
            shown += os.read(terminal, 1 << 16).decode(errors="replace")
    return shown


def parse(text: str) -> Any:
    """One JSON document, and no NaN in it."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)
