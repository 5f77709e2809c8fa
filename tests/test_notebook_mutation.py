"""Is the notebook a real check? A copy of quantlab with one constant changed must turn nbval red.

A notebook that only shows tables stays green after a change of the annualisation; its fingerprint does not.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "01_first_sweep.ipynb"
SLOW_CALLS = ("lab.validate(", "lab.inspect(")
CALENDAR = "days_per_year: float = 365.0", "days_per_year: float = 364.0"


def copied_package(folder: Path) -> Path:
    """The package and its sample as an installed wheel would have them."""
    package = shutil.copytree(
        ROOT / "quantlab", folder / "quantlab", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(ROOT / "data" / "sample", package / "_sample")
    return package


def mutate(package: Path) -> None:
    path = package / "backtest" / "execution.py"
    before, after = CALENDAR
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, "the constant to change is not there any more"
    path.write_text(text.replace(before, after), encoding="utf-8")


def quick_copy(folder: Path) -> Path:
    """The notebook without the calls that take longest, and with a cell that says which package it ran."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [c for c in notebook["cells"] if not any(call in "".join(c["source"]) for call in SLOW_CALLS)]
    package = str(folder / "quantlab")
    cells.insert(-1, {"cell_type": "code", "execution_count": 0, "id": "where", "metadata": {}})
    cells[-2] |= {"source": [f"assert ql.__path__[0] == {package!r}, ql.__path__"], "outputs": []}
    path = folder / "copy.ipynb"
    path.write_text(json.dumps(notebook | {"cells": cells}), encoding="utf-8")
    return path


def nbval(notebook: Path) -> subprocess.CompletedProcess[str]:
    options = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "300", "-p", "no:cacheprovider"]
    options += ["--nbval-sanitize-with", str(ROOT / "tests" / "nbval.cfg"), "-rA"]
    folder = notebook.parent
    environment = os.environ | {"QUANTLAB_HOME": str(folder / "home"), "PYTHONPATH": str(folder)}
    environment.pop("QUANTLAB_DSN", None)
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(notebook)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )


def cells_that_passed(ran: subprocess.CompletedProcess[str]) -> set[int]:
    return {int(number) for number in re.findall(r"^PASSED .*::Cell (\d+)$", ran.stdout, re.MULTILINE)}


@pytest.mark.slow
@pytest.mark.parametrize("mutated", [False, True], ids=["as it is", "364 days a year"])
def test_nbval_sees_another_engine(tmp_path: Path, mutated: bool) -> None:
    package = copied_package(tmp_path)
    if mutated:
        mutate(package)
    notebook = quick_copy(tmp_path)
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    fingerprint = sum(cell["cell_type"] == "code" for cell in cells) - 1
    ran = nbval(notebook)
    passed = cells_that_passed(ran)
    assert {0, 1, fingerprint - 1} <= passed, ran.stdout  # the lab opens, the candles load, from this copy
    assert (fingerprint in passed) is not mutated, ran.stdout
    assert ran.returncode == int(mutated), ran.stdout
