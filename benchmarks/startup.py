"""How long a new process takes to be of use: the import, and a first sweep with kernels in the cache.

    python benchmarks/startup.py --json

Every figure is the median over new processes, one after the other. `import` is ``import quantlab``; `names`
imports everything public as well. `first_sweep` is from the first line of the process to the surface:
``import quantlab``, the shipped candles, the reference grid of `liquidity_sweep` on 5,000 bars; `sweep` is
the last step alone, `again` the same once more. One process before them fills the cache; the measured ones
must find every kernel in it (`compiled` is 0). `interpreter` is a process that does nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np

CLOCKS = """
import json, time
began, cpu_began = time.perf_counter(), time.process_time()
marks = {}
def mark(name):
    marks[name] = (time.perf_counter() - began, time.process_time() - cpu_began)
"""
IMPORTS = """
import quantlab
mark("import")
from quantlab import *
mark("names")
print(json.dumps(marks))
"""
FIRST_SWEEP = """
import sys
import quantlab as ql
candles = ql.sample_candles()[-5000:]
grid = ql.reference_grid("liquidity_sweep")
mark("ready")
ql.sweep("liquidity_sweep", candles, grid, progress=False)
mark("first_sweep")
ql.sweep("liquidity_sweep", candles, grid, progress=False)
mark("again")
from numba.core.dispatcher import Dispatcher
kernels = {id(k): k for n, m in list(sys.modules.items()) if n.startswith("quantlab")
           for k in vars(m).values() if isinstance(k, Dispatcher)}.values()
marks["compiled"] = sum(sum(k.stats.cache_misses.values()) for k in kernels)
marks["cached"] = sum(sum(k.stats.cache_hits.values()) for k in kernels)
print(json.dumps(marks))
"""


def process(code: str) -> dict[str, Any]:
    """What a new process prints, and the seconds from its start to its end."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CLOCKS + code], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    return {**json.loads(done.stdout or "{}"), "process": seconds}


def measure(repeats: int) -> dict[str, Any]:
    process(FIRST_SWEEP)
    idle = [process("") for _ in range(repeats)]
    imports = [process(IMPORTS) for _ in range(repeats)]
    sweeps = [process(FIRST_SWEEP) for _ in range(repeats)]

    def median(runs: list[dict[str, Any]], last: str, first: str | None = None) -> dict[str, float]:
        took = [np.subtract(run[last], run[first] if first else (0.0, 0.0)) for run in runs]
        seconds, cpu = np.median(took, axis=0)
        return {"seconds": round(float(seconds), 4), "cpu_seconds": round(float(cpu), 4)}

    return {
        "interpreter_seconds": round(float(np.median([run["process"] for run in idle])), 4),
        "import": median(imports, "import"),
        "names": median(imports, "names"),
        "first_sweep": median(sweeps, "first_sweep"),
        "sweep": median(sweeps, "first_sweep", "ready"),
        "again": median(sweeps, "again", "first_sweep"),
        "compiled": max(run["compiled"] for run in sweeps),
        "cached": min(run["cached"] for run in sweeps),
        "repeats": repeats,
        "load_average": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.repeats)
    if options.json:
        print(json.dumps(found))
        return
    for name in ("import", "names", "first_sweep", "sweep", "again"):
        print(f"{name:>12}: {found[name]['seconds']:.3f} s (CPU {found[name]['cpu_seconds']:.3f})")
    print(
        f"medians of {found['repeats']} processes, each {found['interpreter_seconds']:.3f} s for the "
        f"interpreter alone; {found['compiled']} kernels compiled, {found['cached']} from the cache; load "
        f"average {found['load_average']}"
    )


if __name__ == "__main__":
    main()
