"""The main job, as `make research` runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantlab.configuration import reader
from quantlab.lab import Lab
from quantlab.research import run
from quantlab.settings import Settings


def by_command(home: Path) -> tuple[dict[str, object], str]:
    """What `quantlab research --notebook --json` answers, and what it tells beside."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("QUANTLAB")}
    done = subprocess.run(
        [sys.executable, "-m", "quantlab.cli", "research", "--notebook", "--json"],
        env=inherited | {"QUANTLAB_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.slow
def test_the_main_job_says_no_and_yes_and_is_idempotent(tmp_path: Path) -> None:
    answer, text = by_command(tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.glob("configurations/*")}
    with Lab(Settings(home=tmp_path)) as lab:
        second = run(lab, progress=False, say=lambda line: None)
        rows = lab.store.active_configurations()
    findings = answer["findings"]
    assert isinstance(findings, list)
    assert [f["approved"] for f in findings] == [f.verdict.approved for f in second.findings]
    assert [f["approved"] for f in findings] == [False, False, True]
    assert [f["key"] for f in findings] == [f.surface.key for f in second.findings]
    assert second.findings[0].surface.size == 201_600
    approval = second.findings[2].approval
    assert approval is not None
    assert findings[2]["configuration"] == str(approval.path)
    assert [str(row["id"]) for row in rows] == [approval.id]
    assert {path: path.read_bytes() for path in tmp_path.glob("configurations/*")} == files
    assert reader.read(approval.path)["strategy"]["name"] == "sma_cross"
    assert answer["report"] == str(second.report)
    assert second.report.is_file()
    assert "REFUSED" in text
    assert "APPROVED" in text
    assert str(second.report) in text

    (notebook,) = map(Path, answer["notebooks"])  # type: ignore[call-overload]
    assert notebook.parent == tmp_path / "notebooks"
    assert str(notebook) in text
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    shown = json.dumps([cell["outputs"] for cell in cells if cell["cell_type"] == "code"])
    assert "APPROVED" in shown.upper()
    assert second.findings[2].surface.fingerprint().splitlines()[-1] in shown
