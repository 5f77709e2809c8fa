"""Run the notebooks in a fresh home and write their outputs back, in the form that is committed.

    python tests/refresh_notebooks.py [NOTEBOOK ...]

Timings and widget states are left out. Look at the difference before you commit: an output that changed
without a reason is a regression.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
CELL_TIMEOUT_S = 600


def refresh(path: Path, home: str) -> None:
    """Execute one notebook with `home` as QUANTLAB_HOME and write it back."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=CELL_TIMEOUT_S, record_timing=False, resources=resources)
    client.execute(env=os.environ | {"QUANTLAB_HOME": home})
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)


def main(names: list[str]) -> None:
    for path in [Path(name).resolve() for name in names] or sorted(NOTEBOOKS.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as home:
            refresh(path, home)
        print(f"refreshed {path.name}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
