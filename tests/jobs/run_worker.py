"""A worker whose sweeps are cut into many parts, each written at once."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import quantlab.lab.sweeps as sweeps
from quantlab.backtest.sweep import surfaces
from quantlab.lab import Lab
from quantlab.settings import Settings
from quantlab.store import parts

parts._FLUSH_S = 0.0
sweeps.surfaces = functools.partial(surfaces, budget=int(sys.argv[2]))
with Lab(Settings(home=Path(sys.argv[1]))) as lab:
    lab.work(drain=True, lease_s=float(sys.argv[3]), poll_s=0.05, say=lambda line: print(line, flush=True))
