"""The main job, as `make research` runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantlab.configuration import reader
from quantlab.lab import Lab
from quantlab.research import run
from quantlab.settings import Settings


@pytest.mark.slow
def test_the_main_job_says_no_and_yes_and_is_idempotent(tmp_path: Path) -> None:
    said: list[str] = []
    with Lab(Settings(home=tmp_path)) as lab:
        first = run(lab, progress=False, say=said.append)
        files = {path: path.read_bytes() for path in tmp_path.glob("configurations/*")}
        second = run(lab, progress=False, say=lambda line: None)
        rows = lab.store.active_configurations()
    assert [f.verdict.approved for f in first.findings] == [False, False, True]
    assert first.findings[0].surface.size == 201_600
    approval = first.findings[2].approval
    assert approval is not None
    assert second.findings[2].approval == approval
    assert [str(row["id"]) for row in rows] == [approval.id]
    assert {path: path.read_bytes() for path in tmp_path.glob("configurations/*")} == files
    assert reader.read(approval.path)["strategy"]["name"] == "sma_cross"
    assert first.report.is_file()
    assert [f.surface.fingerprint() for f in first.findings] == [
        f.surface.fingerprint() for f in second.findings
    ]
    text = "\n".join(said)
    assert "REFUSED" in text
    assert "APPROVED" in text
    assert str(first.report) in text
