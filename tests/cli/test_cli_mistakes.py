"""Mistakes at the command line: one line with its remedy, and no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import BTC, process
from typer.testing import Result

from quantlab.lab import Lab


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("sweep sma_cros coinbase BTC/USD 1h", "did you mean 'sma_cross'?"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fats=5,10", "did you mean 'fast'?"),
        ("sweep sma_cross coinbase BTC/USD 1h --metric sharp", "did you mean 'sharpe'?"),
        ("validate sma_cross coinbase BTC/USD 1h --metric sharp", "did you mean 'sharpe'?"),
        ("sweep sma_cross coinbase BTC/USD 1h --direction shrt", "did you mean 'short'?"),
        ("sweep sma_cross coinbase BTC/USD 1h --fill opn", "did you mean 'open'?"),
        ("search sma_cross coinbase BTC/USD 1h --sampler tpee", "did you mean 'tpe'?"),
        ("sweep sma_cross coinbase BTC/USD 1hr", "did you mean '1h'?"),
        ("sweep sma_cross coinbase BTC/USD 1h --taker 0.1", "a fraction, not percent"),
        ("sweep liquidity_sweep coinbase BTC/USD 1h --set pierce_depth=0.18", "fractions, not percent"),
        ("sweep sma_cross coinbase BTCUSD 1h", "nearest are coinbase BTC/USD 1h"),
        ("sweep sma_cross coinbase BTC/USD 1h --start 2031-01-01", "2019-10-17T08:00Z"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fast", "NAME=V1,V2"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fast=", "NAME=V1,V2"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fast=5 --set fast=6", "once"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fast=5,x", "must be numbers"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fast=5,5", "distinct values"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fast=5,10 --min-trades 99999", "at least 99999"),
        ("sweep sma_cross coinbase BTC/USD 1h --start yesterday", "yesterday"),
        ("sweep sma_cross coinbase BTC/USD", "timeframe"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(call: Callable[..., Result], command: str, says: str) -> None:
    done = call(*command.split(), "--json")
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_an_error_is_a_line_and_a_traceback_only_if_wanted(home: Path, lab: Lab) -> None:
    wrong = ("sweep", "sma_cros", *BTC)
    plain, traced = process(home, *wrong), process(home, *wrong, QUANTLAB_TRACEBACK="1")
    assert plain.returncode == traced.returncode == 2
    assert plain.stderr == "quantlab: 'sma_cros' is not a strategy: did you mean 'sma_cross'?\n"
    assert "Traceback" in traced.stderr
    assert "UnknownNameError" in traced.stderr
    assert plain.stdout == traced.stdout == ""


def test_a_server_that_does_not_answer_is_named_without_its_password(home: Path) -> None:
    dsn = "postgresql://ana:s3cret-w0rd@127.0.0.1:1/lab"
    for environment in ({}, {"QUANTLAB_TRACEBACK": "1"}):
        done = process(home, "markets", "--json", QUANTLAB_DSN=dsn, **environment)
        assert done.returncode == 2
        assert "127.0.0.1" in done.stderr
        assert "s3cret" not in done.stderr + done.stdout
