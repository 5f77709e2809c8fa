"""Jobs on the command line: submit, work, list, follow, cancel."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from quantlab import cli
from quantlab.lab import Lab
from quantlab.market.synthetic import iid
from quantlab.settings import Settings

MADE = iid(n_bars=600, timeframe="4h", seed=5)
MARKET = (MADE.exchange, MADE.symbol, "4h")
GRID = ("--set", "fast=5,10", "--set", "slow=20,40")

Call = Callable[..., Result]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("verbs home")
    with Lab(Settings(home=home)) as lab:
        lab.put_candles(MADE)
        yield home


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    for name in [name for name in os.environ if name.startswith("QUANTLAB")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("QUANTLAB_HOME", str(home))
    return lambda *arguments: CliRunner().invoke(cli.app, arguments)


def submitted(call: Call, *more: str) -> str:
    done = call("submit", "sma_cross", *MARKET, *more, "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["status"] == "queued"
    return str(document["id"])


def test_from_submission_to_result(call: Call) -> None:
    assert "no jobs" in call("jobs").stdout
    swept = submitted(call, *GRID)
    searched = submitted(call, "--sampler", "random", "--trials", "20", "--seed", "4")
    worked = call("worker", "--drain", "--json")
    assert json.loads(worked.stdout) == {"jobs": 2}
    assert f"job {swept[:8]} sma_cross" in worked.stderr
    shown = json.loads(call("jobs", "--json").stdout)["jobs"]
    assert [(one["id"], one["status"], one["optimization_method"], one["seed"]) for one in shown] == [
        (swept, "completed", "grid", None),
        (searched, "completed", "random", 4),
    ]
    followed = call("jobs", searched[:8], "--follow", "--json")
    assert followed.exit_code == 0
    assert json.loads(followed.stdout)["result"]["cells"] == 20
    assert "sma_cross" in call("jobs").stdout


def test_a_cancelled_job_and_what_cannot_be_asked(call: Call) -> None:
    job = submitted(call, *GRID, "--direction", "long")
    assert "cancelled" in call("jobs", job, "--cancel").stdout
    again = call("jobs", job, "--cancel")
    assert (again.exit_code, "is cancelled already" in again.stderr) == (2, True)
    assert call("jobs", job, "--follow").exit_code == 1
    unknown = call("jobs", "nonsense")
    assert (unknown.exit_code, "there is no job nonsense: the last ones are" in unknown.stderr) == (2, True)
    assert "give its id" in call("jobs", "--follow").stderr
    assert "add --drain" in call("worker", "--json").stderr
    assert "a lease takes" in call("worker", "--lease", "0", "--drain").stderr


def test_a_worker_without_a_server_says_so(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTLAB_DSN", "postgresql://nobody@127.0.0.1:1/none")
    done = call("worker", "--drain")
    assert done.exit_code == 2
    assert "PostgreSQL does not answer at host 127.0.0.1, port 1" in done.stderr
