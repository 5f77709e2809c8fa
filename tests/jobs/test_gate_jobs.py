"""The gate goes on where it was stopped, to the same verdict; as a job it tells how far it is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import slow_strategies  # noqa: F401

import quantlab as ql
from quantlab.errors import InputError, NotStoredError
from quantlab.lab import Lab
from quantlab.lab.jobs import Job
from quantlab.lab.nulls import StoredNulls
from quantlab.market.candles import Candles
from quantlab.market.synthetic import planted_momentum
from quantlab.progress import heard
from quantlab.settings import Settings
from quantlab.validation import rerun
from quantlab.validation.gate import validate, verdict_key
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import Verdict

HERE = Path(__file__).parent
GRID = {"window": [10, 20, 40], "distance": [0.0, 0.01]}
GATE = Gate(draws=39, alpha=0.2, folds=2)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(Settings(home=tmp_path_factory.mktemp("gate jobs home"))) as opened:
        yield opened


def market(lab: Lab, seed: int) -> Candles:
    made = planted_momentum(1_500, timeframe="1d", seed=seed, true_sharpe=3.0)
    lab.put_candles(made)
    return lab.candles(made.exchange, made.symbol, "1d")


def plain(verdict: Verdict) -> dict[str, Any]:
    document = verdict.to_json()
    for test in document["evidence"]["tests"]:
        del test["seconds"]
    return document


def check(lab: Lab, surface: ql.Surface, candles: Candles, found: Verdict) -> None:
    """It is the verdict of a gate that nobody stopped, and nothing is left behind."""
    whole = validate(surface, candles, gate=GATE, standing=found.evidence.standing, progress=False)
    assert plain(found) == plain(whole)
    assert StoredNulls(lab.store, verdict_key(surface, GATE)).earlier() is None
    assert plain(Verdict.from_json(lab.store.get_verdict(verdict_key(surface, GATE))["verdict"])) == plain(
        whole
    )


def environment(slow_s: float) -> dict[str, str]:
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), "SLOW_S": str(slow_s)}


def until(holds: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


KILLED = """
import sys
from pathlib import Path
import slow_strategies  # noqa: F401
from quantlab.lab import Lab, nulls
from quantlab.settings import Settings
from quantlab.validation import rerun
from quantlab.validation.thresholds import Gate
rerun._TOLD_SECONDS = 0.0
keep = nulls.StoredNulls.keep
def told(self, found):
    keep(self, found)
    print(sum(len(null.scores) for null in found.nulls), flush=True)
nulls.StoredNulls.keep = told
lab = Lab(Settings(home=Path(sys.argv[1])))
candles = lab.candles("synthetic", sys.argv[2], "1d")
surface = lab.sweep("slow_average", candles, %r, progress=False)
lab.validate(surface, candles, gate=%r, progress=False)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_verdict_goes_on_to_the_same(lab: Lab, how: signal.Signals) -> None:
    candles = market(lab, 1 if how == signal.SIGKILL else 2)
    script = KILLED % (GRID, GATE)
    command = [sys.executable, "-c", script, str(lab.settings.home), candles.symbol]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, env=environment(0.01), **pipes) as process:
        assert process.stdout is not None
        known = [int(process.stdout.readline()) for _ in range(5)]
        process.send_signal(how)
    surface = lab.sweep("slow_average", candles, GRID, progress=False)
    with pytest.raises(NotStoredError):
        lab.store.get_verdict(verdict_key(surface, GATE))
    earlier = StoredNulls(lab.store, verdict_key(surface, GATE)).earlier()
    assert earlier is not None
    drawn = sum(len(null.scores) for null in earlier.nulls)
    assert drawn >= known[-1] == 5
    steps: list[tuple[float, str]] = []
    with pytest.MonkeyPatch.context() as patch, heard(lambda *step: steps.append(step)):
        patch.setattr(rerun, "_TOLD_SECONDS", 0.0)
        found = lab.validate(surface, candles, gate=GATE, progress=False)
    counted = [step for _, step in steps if "markets" in step and "of" in step]
    assert re.fullmatch(rf"{drawn + 1} of \d+ mirrored markets", counted[0])  # none was drawn twice
    assert re.fullmatch(r"\d+ of \d+ shuffled markets", counted[-1])
    shares = [share for share, _ in steps]
    assert shares == sorted(shares)
    check(lab, surface, candles, found)


def worker(lab: Lab, slow_s: float) -> subprocess.Popen[str]:
    command = [sys.executable, HERE / "run_worker.py", lab.settings.home, 400_000, 1.0]
    return subprocess.Popen(
        list(map(str, command)), env=environment(slow_s), stdout=subprocess.PIPE, text=True
    )


def among_the_nulls(job: Job) -> bool:
    return re.fullmatch(r"\d+ of \d+ \w+ markets", job.row.current_stage) is not None


def test_a_worker_that_is_killed_among_the_nulls(lab: Lab) -> None:
    candles = market(lab, 3)
    surface = lab.sweep("slow_average", candles, GRID, progress=False)
    job = lab.submit_validation(surface, gate=GATE)
    with worker(lab, 0.05) as process:
        until(lambda: among_the_nulls(job))
        before = job.progress
        process.kill()
    assert 30 < before < 99
    assert job.status == "running"
    kept = StoredNulls(lab.store, verdict_key(surface, GATE)).earlier()
    assert kept is not None
    with worker(lab, 0.0) as process:
        job.wait(120)
        process.communicate(timeout=120)
    assert (job.status, job.row.attempt) == ("completed", 2), job.row.error_message
    check(lab, surface, candles, job.verdict())
    assert lab.ledger(candles).trials == 6


def test_a_verdict_under_way_is_cancelled(lab: Lab) -> None:
    candles = market(lab, 4)
    job = lab.submit("slow_average", candles, GRID, validate=GATE)
    with worker(lab, 0.05) as process:
        until(lambda: among_the_nulls(job))
        begun = time.monotonic()
        job.cancel()
        until(lambda: job.status == "cancelled")
        assert time.monotonic() - begun < 10
        process.communicate(timeout=120)


def test_only_sweeps_of_this_lab_are_judged_by_workers(lab: Lab) -> None:
    candles = market(lab, 5)
    study = lab.search("slow_average", candles, sampler="random", trials=6, progress=False)
    with pytest.raises(InputError, match="validate=True"):
        lab.submit_validation(study.surface)
