"""A notebook of each approved run: executed in a kernel of its own, with the parameters of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

import quantlab as ql
from quantlab.booklets.make import APPROVED, execute, with_parameters
from quantlab.errors import InputError, QuantlabError
from quantlab.lab import Lab
from quantlab.research import Finding, _notebook
from quantlab.settings import Settings


def _template(path: Path, *cells: str) -> Path:
    first, *others = [nbformat.v4.new_code_cell(cell) for cell in cells]
    first.metadata["tags"] = ["parameters"]
    made = nbformat.v4.new_notebook(cells=[first, *others])
    made.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(made, path)
    return path


def _outputs(path: Path) -> str:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert [c["execution_count"] for c in document["cells"] if c["cell_type"] == "code"] == list(
        range(1, sum(c["cell_type"] == "code" for c in document["cells"]) + 1)
    )
    return json.dumps([cell.get("outputs") for cell in document["cells"]])


def test_parameters_follow_the_cell_of_their_defaults() -> None:
    template = nbformat.read(APPROVED, as_version=4)
    made = with_parameters(template, {"symbol": "A'B", "timeframe": "1h"})
    place = next(i for i, cell in enumerate(made.cells) if "parameters" in cell.metadata.get("tags", []))
    told: dict[str, Any] = {}
    for cell in made.cells[place : place + 2]:
        exec(cell.source, told)
    assert (told["symbol"], told["timeframe"], told["strategy"]) == ("A'B", "1h", "sma_cross")
    assert made.cells[place + 1].metadata.tags == ["injected-parameters"]
    assert len(template.cells) == len(made.cells) - 1
    with pytest.raises(InputError, match="no parameter 'pair': it has strategy, exchange"):
        with_parameters(template, {"pair": "x"})
    template.cells = [cell for cell in template.cells if "parameters" not in cell.metadata.get("tags", [])]
    with pytest.raises(InputError, match="this one has 0"):
        with_parameters(template, {})


@pytest.mark.slow
def test_a_notebook_runs_in_the_lab_it_is_given_and_a_failing_one_leaves_nothing(tmp_path: Path) -> None:
    cells = ("a = 1", "import os\nprint(a + 1, os.environ['QUANTLAB_HOME'])")
    done = execute(_template(tmp_path / "t.ipynb", *cells), tmp_path / "out" / "x.ipynb", {"a": 41}, tmp_path)
    assert f"42 {tmp_path}" in _outputs(done)
    failing = _template(tmp_path / "f.ipynb", "a = 1", "1 / (a - a)")
    with pytest.raises(QuantlabError, match="failed with ZeroDivisionError: division by zero"):
        execute(failing, tmp_path / "out" / "y.ipynb", {}, tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.ipynb"]


@pytest.mark.slow
def test_the_notebook_of_a_run_shows_its_verdict_and_counts_nothing(tmp_path: Path) -> None:
    with Lab(Settings(home=tmp_path)) as lab:
        lab.put_candles(ql.resample(ql.sample_candles(), "4h"))
        candles = lab.candles("coinbase", "BTC/USD", "4h")
        surface = lab.sweep("sma_cross", candles, progress=False)
        verdict = lab.validate(surface, progress=False)
        before = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
        path = _notebook(lab, Finding(surface, surface.plateau(), verdict, None), tmp_path / "notebooks")
        assert lab.store.counted(candles.family, candles.first_ms, candles.last_ms) == before
        shown = _outputs(path)
        for reason in verdict.reasons:
            assert json.dumps(reason)[1:40] in shown
        assert surface.fingerprint().splitlines()[-1] in shown
        assert shown.count("application/vnd.plotly.v1+json") == 3
    assert path.stat().st_size < 1_000_000
