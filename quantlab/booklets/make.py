"""Execute a notebook with parameters, each in a kernel of its own.

The convention is that of papermill: a cell tagged ``parameters`` holds the defaults, and what is given
follows in a cell tagged ``injected-parameters``. So the same notebooks run under papermill as well; here they
run on nbclient, which comes with JupyterLab and executes for papermill too.

Import it only where a notebook is made: nbclient is slow to import.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from quantlab.errors import InputError, QuantlabError

APPROVED = Path(__file__).with_name("approved.ipynb")
"""The notebook of an approved run."""

_MOST_S = 1_800


def execute(template: Path, path: Path, parameters: Mapping[str, Any], home: Path) -> Path:
    """Execute a copy of a notebook, with its outputs, all of it or nothing.

    Parameters
    ----------
    template : Path
        With a cell tagged ``parameters``.
    path : Path
        Where the copy goes; folders are made as needed.
    parameters : mapping of str to str, number, bool or None
        In place of the defaults of that cell.
    home : Path
        The lab that the notebook opens (``QUANTLAB_HOME``).

    Returns
    -------
    Path
        The file, absolute.

    Raises
    ------
    InputError
        A parameter that the notebook does not have.
    QuantlabError
        A cell failed; with its error.
    """
    notebook = with_parameters(nbformat.read(template, as_version=4), parameters)
    target = path.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    where = {"metadata": {"path": str(target.parent)}}
    client = NotebookClient(notebook, timeout=_MOST_S, kernel_name="python3", resources=where)
    try:
        client.execute(env={**os.environ, "QUANTLAB_HOME": str(home.absolute())})
    except CellExecutionError as error:
        raise QuantlabError(
            f"the notebook {target.name} cannot be made, a cell of it failed with {error.ename}: "
            f"{error.evalue}. Call again when that is mended."
        ) from error
    notebook.metadata.pop("widgets", None)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        nbformat.write(notebook, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def with_parameters(notebook: Any, parameters: Mapping[str, Any]) -> Any:
    """A copy of a notebook with a cell that sets parameters after the one that holds their defaults."""
    made = copy.deepcopy(notebook)
    places = [i for i, cell in enumerate(made.cells) if "parameters" in cell.metadata.get("tags", [])]
    if len(places) != 1:
        raise InputError(f"a notebook has one cell tagged `parameters`, this one has {len(places)}.")
    known = _assigned(made.cells[places[0]].source)
    for name in parameters:
        if name not in known:
            raise InputError(f"this notebook has no parameter {name!r}: it has {', '.join(known)}.")
    lines = [f"{name} = {value!r}" for name, value in parameters.items()]
    cell = nbformat.v4.new_code_cell("\n".join(lines), metadata={"tags": ["injected-parameters"]})
    made.cells.insert(places[0] + 1, cell)
    return made


def _assigned(source: str) -> list[str]:
    return [line.split("=")[0].strip() for line in source.splitlines() if "=" in line]
