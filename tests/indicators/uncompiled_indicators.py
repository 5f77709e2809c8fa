"""Recompute every indicator without compilation and compare with what compiled kernels gave: ``FILE.npz``."""

from __future__ import annotations

import sys

import numpy as np
from numba import config
from test_time_rule import every_row

if __name__ == "__main__":
    assert config.DISABLE_JIT
    compiled, plain = np.load(sys.argv[1]), every_row()
    assert set(compiled) == set(plain)
    for name, row in plain.items():
        np.testing.assert_allclose(row, compiled[name], rtol=1e-12, atol=1e-12, err_msg=name)
    print("equal without compilation")
