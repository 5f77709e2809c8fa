"""The kernels as plain Python (NUMBA_DISABLE_JIT=1) against the replay; see `test_kernel_equals_replay`."""

from __future__ import annotations

import numpy as np
from generated_markets import Case, cases
from hypothesis import Phase, given, settings
from numba import config
from test_kernel_equals_replay import assert_same_run

from quantlab.backtest.engine import run_cell


@settings(max_examples=60, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(cases())
def check(case: Case) -> None:
    with np.errstate(over="ignore"):  # hashes wrap around
        kernel = run_cell(
            case.script.strategy, case.candles, {}, case.execution, start=case.start, intrabar=case.intrabar
        )
    assert_same_run(kernel, case.replay(), case.candles)


if __name__ == "__main__":
    assert config.DISABLE_JIT
    check()
    print("equal without compilation")
