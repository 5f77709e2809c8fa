"""One real database for the commands of a module, and commands that run inside this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_helpers import parse, process
from typer.testing import CliRunner, Result

from quantlab import cli, research
from quantlab.lab import Lab
from quantlab.market.candles import Candles
from quantlab.market.sample import sample_candles
from quantlab.market.synthetic import planted_momentum
from quantlab.settings import Settings


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    loaded = process(home, "sample", "--json")
    assert loaded.returncode == 0, loaded.stderr
    assert parse(loaded.stdout)["fingerprint"] == sample_candles().fingerprint
    return home


@pytest.fixture(scope="module")
def lab(home: Path) -> Iterator[Lab]:
    """The library on the same database; the server stays up between the commands."""
    with Lab(Settings(home)) as lab:
        yield lab


@pytest.fixture
def call(home: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command inside this process, which is quicker."""
    for name in list(os.environ):
        if name.startswith("QUANTLAB"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QUANTLAB_HOME", str(home))
    return lambda *arguments: CliRunner().invoke(cli.app, arguments)


@pytest.fixture(scope="module")
def planted() -> Candles:
    return planted_momentum(research.PLANTED_BARS, timeframe="4h", true_sharpe=2.5, half_life_bars=80)
