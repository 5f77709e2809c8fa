"""What a committed notebook must look like, so that nbval really compares it and a reader can follow it.

nbval compares nothing in a notebook without execution counts, and passes: these guards keep it armed.
"""

from __future__ import annotations

import ast
import configparser
import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_BYTES = 300_000
MOST_LINES = 6
LOGIC = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.While, ast.Lambda, ast.If, ast.Try)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
WIDGETS = ("CandleChart(", "LiveView(", "SurfaceExplorer(")
UNCHECKED = {"nbval-skip", "nbval-ignore-output"}
ABSOLUTE = re.compile(r"(?<![\w.:/<])/(?:home|root|tmp|usr|var|work|Users|opt|mnt|private)/|[A-Z]:\\\\")

Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(notebook: Notebook) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def faults(notebook: Notebook) -> Iterator[str]:
    """Everything that is wrong with a notebook, in words."""
    cells = code_cells(notebook)
    if [cell["execution_count"] for cell in cells] != list(range(1, len(cells) + 1)):
        yield "execution counts are not 1, 2, 3 ...: nbval would compare nothing"
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        yield "the kernel is not python3"
    if "widgets" in notebook["metadata"]:
        yield "widget states are stored"
    if ABSOLUTE.search(json.dumps(notebook)):
        yield "a path of somebody's machine"
    if len(json.dumps(notebook)) > MOST_BYTES:
        yield "larger than a reader wants to load"
    yield from _faults_of_structure(notebook, cells)
    for cell in cells:
        yield from _faults_of_cell(cell)


def _faults_of_structure(notebook: Notebook, cells: list[dict[str, Any]]) -> Iterator[str]:
    first, last = notebook["cells"][0], cells[-1]
    if first["cell_type"] != "markdown" or not re.match(r"# .+\?\n", source(first)):
        yield "the title is not a question"
    if "lab.fingerprint(" not in source(last) or not last["outputs"]:
        yield "the last cell is not a fingerprint with its output"
    if "nbval-check-output" not in last["metadata"].get("tags", []):
        yield "the fingerprint is not compared in every mode"


def _faults_of_cell(cell: dict[str, Any]) -> Iterator[str]:
    text = source(cell)
    if any(output["output_type"] == "error" for output in cell["outputs"]):
        yield f"an error as output: {text}"
    if any(_nameless_widget(output.get("data", {})) for output in cell["outputs"]):
        yield f"a widget whose text says nothing that can be compared: {text}"
    if any(output.get("name") == "stderr" for output in cell["outputs"]):
        yield f"something on stderr: {text}"
    if UNCHECKED & set(cell["metadata"].get("tags", [])) or "NBVAL_" in text:
        yield f"a cell that is not compared: {text}"
    if len([line for line in text.splitlines() if line.strip()]) > MOST_LINES:
        yield f"a cell of more than {MOST_LINES} lines: {text}"
    if any(isinstance(node, (*LOGIC, *COMPREHENSIONS)) for node in ast.walk(ast.parse(text))):
        yield f"logic, which belongs into the package: {text}"


def _nameless_widget(data: dict[str, Any]) -> bool:
    """Widgets are not compared, only their text: it has to name what is shown."""
    text = "".join(data.get("text/plain", ""))
    return "application/vnd.jupyter.widget-view+json" in data and not text.startswith(WIDGETS)


def test_there_are_notebooks() -> None:
    named = ["00_tour", "01_first_sweep", "02_search", "03_is_it_real", "04_explore_and_approve"]
    assert [path.stem for path in PATHS] == named


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_has_no_faults(path: Path) -> None:
    assert list(faults(read(path))) == []
    assert path.stat().st_size < MOST_BYTES


def _no_counts(notebook: Notebook) -> None:
    for cell in code_cells(notebook):
        cell["execution_count"] = None


def _logic(text: str) -> Callable[[Notebook], None]:
    def change(notebook: Notebook) -> None:
        code_cells(notebook)[1]["source"] = [text]

    return change


def _output(output: dict[str, Any]) -> Callable[[Notebook], None]:
    def change(notebook: Notebook) -> None:
        code_cells(notebook)[1]["outputs"].append(output)

    return change


def _meta(**metadata: Any) -> Callable[[Notebook], None]:
    return lambda notebook: notebook["metadata"].update(metadata)


WIDGET = {
    "output_type": "display_data",
    "data": {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "<Chart object at 0x7f>"},
}
PLANTED: dict[str, Callable[[Notebook], None]] = {
    "compare nothing": _no_counts,
    "kernel": _meta(kernelspec={"name": "venv"}),
    "widget states": _meta(widgets={}),
    "somebody's machine": _meta(file="/home/ana/lab"),
    "larger": _meta(note="x" * MOST_BYTES),
    "not a question": lambda n: n["cells"][0].update(source=["# A sweep\n"]),
    "not a fingerprint": lambda n: n["cells"].pop(),
    "not compared in every mode": lambda n: n["cells"][-1]["metadata"].clear(),
    "error": _output({"output_type": "error", "ename": "E", "evalue": "", "traceback": []}),
    "a widget": _output(WIDGET),
    "stderr": _output({"output_type": "stream", "name": "stderr", "text": "late"}),
    "a cell that is not compared": lambda n: code_cells(n)[1]["metadata"].update(tags=["nbval-skip"]),
    "more than 6 lines": _logic("x = 1\n" * 7),
    "logic, which": _logic("for x in range(3):\n    print(x)"),
    "belongs into the package": _logic("[x for x in range(3)]"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault: str) -> None:
    notebook = copy.deepcopy(read(PATHS[0]))
    PLANTED[fault](notebook)
    assert any(fault in found for found in faults(notebook))


def patterns() -> list[tuple[str, str]]:
    config = configparser.RawConfigParser()
    config.read(ROOT / "tests" / "nbval.cfg", encoding="utf-8")
    return [(config[name]["regex"], config[name]["replace"]) for name in config.sections()]


def sanitised(text: str) -> str:
    for regex, replacement in patterns():
        text = re.sub(regex, replacement, text)
    return text


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_what_nbval_leaves_out_is_only_time_ledger_and_the_raw_verdict(path: Path) -> None:
    changed = []
    for cell in code_cells(read(path)):
        for output in cell["outputs"]:
            texts = {"stream": output.get("text", "")} | output.get("data", {})
            plain = {kind: "".join(text) for kind, text in texts.items() if not isinstance(text, dict)}
            changed += [(source(cell), kind) for kind, text in plain.items() if sanitised(text) != text]
    assert {place.split("\n")[-1] for place, _ in changed} <= {"verdict"}
    assert sanitised("<td>0.729</td><td>what it says</td><td>15.04</td></tr>").count("0.729") == 1
