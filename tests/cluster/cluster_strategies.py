"""Strategies for the tests of clusters, in a module that worker processes import.

Every evaluation of a part leaves a file in the folder ``QUANTLAB_TEST_CALLS``: which cells, which process.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from quantlab.errors import UnknownNameError
from quantlab.indicators import sma
from quantlab.signals import Columns, Signals, strategy
from quantlab.space import Int, Params, Space

SPACE = Space(
    Int("window", 2, 60, 10, "bars", "bars of the average"),
    Int("max_holding", 1, 50, 10, "bars", "longest time in the market", role="exit"),
)
PROBE_BARS = 8
SLOW_S = 0.4
CLIENT = "QUANTLAB_TEST_CLIENT"
CALLS = "QUANTLAB_TEST_CALLS"


class Call(NamedTuple):
    """One evaluation of a part: its cells, the process, whether it came to its end."""

    cells: str
    pid: int
    ended: bool


def calls() -> list[Call]:
    """Evaluations since the folder was emptied, oldest first."""
    files = sorted(Path(os.environ[CALLS]).iterdir(), key=lambda file: file.stat().st_mtime_ns)
    found = [file.name.split(" ") for file in files]
    return [Call(name[0], int(name[1]), name[-1] == "ended") for name in found]


def forget_calls() -> None:
    for file in Path(os.environ[CALLS]).iterdir():
        file.unlink()


def above_average(candles: Columns, p: Params) -> Signals:
    return Signals(long=candles.close > sma(candles.close, p.window), max_holding=p.max_holding)


def logged(act: Callable[[Params], Any]) -> Callable[[Columns, Params], Signals]:
    """The same strategy that does something else first, on whole candles only (a plan looks at a few)."""

    def signals(candles: Columns, p: Params) -> Signals:
        if candles.close.size > PROBE_BARS:
            cells = "-".join(str(v) for name in ("window", "max_holding") for v in getattr(p, name).ravel())
            file = Path(os.environ[CALLS]) / f"{cells} {os.getpid()} {uuid.uuid4().hex}"
            file.touch()
            act(p)
            file.rename(f"{file} ended")
        return above_average(candles, p)

    return signals


def fail(p: Params) -> None:
    if (p.window == 7).any():
        raise ZeroDivisionError("a window of seven")


def mistype(p: Params) -> None:
    raise UnknownNameError("parameter of mistyped", "windw", p)


def kill(p: Params) -> None:
    """End the process, as the kernel does with one that needs too much memory."""
    if (p.window == 7).any() and os.environ[CLIENT] != str(os.getpid()):
        time.sleep(SLOW_S)
        os.kill(os.getpid(), signal.SIGKILL)


for name, act in {
    "quick": np.size,
    "slow": lambda p: time.sleep(SLOW_S),
    "failing": fail,
    "mistyped": mistype,
    "killing": kill,
}.items():
    strategy(name, SPACE, lambda p: p["window"], {"window": [2, 3, 5, 7, 9, 14, 20, 30]})(logged(act))
