"""What the command says of itself: its verbs, their JSON, its version, the strategies."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable

import pytest
from cli_helpers import BTC, HEAVY, parse
from typer.testing import CliRunner, Result

import quantlab
from quantlab import cli
from quantlab.backtest.execution import Execution
from quantlab.strategies import get, names


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom quantlab.cli import app\n"
        "app(['sweep', '--help'], standalone_mode=False)\n"
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "--slippage-bps" in done.stdout
    assert done.stderr.strip() == "[]"


def test_the_installed_command_is_this_one() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="quantlab")
    assert script.load() is cli.main


def test_version(call: Callable[..., Result]) -> None:
    assert call("--version").stdout == f"quantlab {quantlab.__version__}\n"


VERBS = (
    "research markets sample import strategies sweep search validate approve report db-status db-dsn db-stop "
    "config-read submit jobs worker holdout-lock holdout-list holdout-look holdout-release"
)


@pytest.mark.parametrize("verb", VERBS.split())
def test_every_verb_documents_its_json(verb: str) -> None:
    shown = CliRunner().invoke(cli.app, [*verb.split("-"), "--help"]).stdout
    assert "--json" in shown
    assert "JSON: " in shown


def test_costs_left_unsaid_are_those_of_the_library() -> None:
    asked = cli.Question("sma_cross", *BTC)
    assert asked.checked()[2] == Execution()


def test_strategies_are_listed_as_the_library_knows_them(call: Callable[..., Result]) -> None:
    listed = parse(call("strategies", "--json").stdout)["strategies"]
    assert [one["name"] for one in listed] == names()
    for one in listed:
        assert {k: one[k] for k in ("parameters", "constraints")} == get(one["name"]).space.to_json()
    text = call("strategies").stdout
    assert all(parameter in text for name in names() for parameter in get(name).space.names)
