"""`quantlab check`: strategies of the registry, of modules and of files; answers, exit codes, errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from quantlab import cli, strategies
from quantlab.errors import InputError, UnknownNameError
from quantlab.market.sample import sample_candles
from quantlab.signals import REGISTRY, Strategy
from quantlab.testing import CHECKS
from quantlab.testing.target import load_strategy

SOURCE = """
import numpy as np
import quantlab as ql
from quantlab.indicators import sma

SPACE = ql.Space(ql.Int("window", 10, 60, 20, "bars", "of the mean"))


@ql.strategy("check_peeking", SPACE, lambda p: p["window"], {"window": [10, 20]})
def peek(candles, p):
    later = np.concatenate([candles.close[3:], np.full(min(3, len(candles.close)), np.nan)])
    rising = candles.close > sma(candles.close, p.window)
    return ql.Signals(long=ql.all_of(rising, ql.above(later, candles.close)))


@ql.strategy("check_honest", SPACE, lambda p: p["window"], {"window": [10, 20]})
def honest(candles, p):
    return ql.Signals(long=candles.close > sma(candles.close, p.window))
"""
BROKEN = """
import quantlab as ql


@ql.strategy("check_broken", ql.Space(ql.Int("window", 10, 60, 20)), lambda p: p["window"])
def broken(candles, p):
    return ql.Signals(long=candles.closes > 0)
"""
FEW = ("--end", "2018-01-20")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    assert strategies.names()  # the library is registered before the registry is remembered
    known, modules = dict(REGISTRY), set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checked_rules.py").write_text(SOURCE)
    yield tmp_path
    REGISTRY.clear()
    REGISTRY.update(known)
    for name in set(sys.modules) - modules:
        if "check" in name and not name.startswith("quantlab"):
            del sys.modules[name]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["check", *arguments])


def test_a_leak_is_located_and_refused() -> None:
    done = run("checked_rules:check_peeking", *FEW)
    assert done.exit_code == 1
    assert "check_peeking on coinbase BTC/USD 1h: looks into the future" in done.stdout
    assert "It depends on the bar 3 later (close), through clause 2 of 2." in done.stdout
    assert "Not shown by this:" in done.stdout
    assert "NO  causality    check_peeking: a decision may read bars up to its own only" in done.stdout
    assert done.stdout.endswith("NOT OK\n")


def test_json_says_the_same() -> None:
    done = run("checked_rules.py:peek", *FEW, "--json")
    document = json.loads(done.stdout)
    assert done.exit_code == 1
    assert not document["ok"]
    (finding,) = document["lookahead"]["findings"]
    assert (finding["field"], finding["nearest"], finding["clause"]) == ("long", 3, 2)
    assert finding["params"]["window"] in (10, 20)
    assert [one["name"] for one in document["contract"]] == list(CHECKS)
    assert [one["name"] for one in document["contract"] if not one["ok"]] == ["causality", "live_parity"]


def test_a_clean_strategy_passes() -> None:
    done = run("checked_rules.py:honest", *FEW, "--set", "window=12,30")
    assert done.exit_code == 0, done.output
    assert "no look-ahead found" in done.stdout
    assert "Looked at 2 cells" in done.stdout
    assert done.stdout.count("  yes  ") == len(CHECKS)
    assert done.stdout.endswith("\nOK\n")


def test_a_registered_name_on_a_file_of_candles(folder: Path) -> None:
    sample_candles()[:1_000].to_frame().drop(columns="flags").to_csv(folder / "hours.csv")
    done = run("buy_and_hold", "--candles", "hours.csv")
    assert done.exit_code == 0, done.output
    assert "buy_and_hold on file hours 1h: no look-ahead found" in done.stdout


def test_a_strategy_that_raises_is_not_ok_and_named(folder: Path) -> None:
    (folder / "checked_broken.py").write_text(BROKEN)
    done = run("checked_broken.py", *FEW)
    assert done.exit_code == 1
    assert (
        "check_broken: the strategy raised AttributeError: 'Candles' object has no attribute" in done.stdout
    )
    assert "NO  arrays       check_broken: signals must be returned for every cell" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sma_kross"], "'sma_kross' is not a strategy: did you mean 'sma_cross'?"),
        (["checked_rules:peak"], "'peak' is not a strategy in checked_rules: did you mean 'peek'?"),
        (
            ["checked_rules.py"],
            "checked_rules.py defines several strategies: add one of :check_honest, :check_peek",
        ),
        (["checked_rule.py:peek"], "'checked_rule.py' is not a file in"),
        (["no_such_module:peek"], "there is no module 'no_such_module' in"),
        (["empty.py"], "empty.py defines no strategy: decorate its signal function"),
        (
            ["wrong.py"],
            "wrong.py cannot be imported, it raises ZeroDivisionError in line 2: division by zero",
        ),
        (["checked_rules:honest", "coinbase"], "got coinbase alone: name EXCHANGE, SYMBOL and TIMEFRAME"),
        (
            ["checked_rules:honest", "--candles", "smaple"],
            "--candles is sample, synthetic or an existing file",
        ),
        (["checked_rules:honest", "--candles", "wrong.py"], "is neither .csv nor .parquet"),
        (["checked_rules:honest", "--start", "2030-01-01"], "no bar of Candles"),
        (["checked_rules:honest", "--set", "windo=3"], "did you mean 'window'?"),
        (
            ["checked_rules:honest", "--set", "window=3"],
            "`window` of check_honest must be in [10, 60], got 3",
        ),
    ],
)
def test_bad_input_is_explained(folder: Path, arguments: list[str], words: str) -> None:
    (folder / "empty.py").write_text("a = 1\n")
    (folder / "wrong.py").write_text("a = 1\na = a / 0\n")
    done = run(*arguments)
    assert done.exit_code == 2
    assert words in done.stderr


def test_bars_that_are_no_timeframe_apart_are_refused(folder: Path) -> None:
    frame = sample_candles()[:100].to_frame().drop(columns="flags")
    frame.iloc[::2].to_csv(folder / "two_hours.csv")
    done = run("checked_rules:honest", "--candles", "two_hours.csv")
    assert done.exit_code == 2
    assert "the nearest two are 7,200,000 ms apart" in done.stderr


def test_a_strategy_is_found_by_its_variable_and_by_its_function(folder: Path) -> None:
    (folder / "checked_object.py").write_text(
        "from quantlab import strategies\nfrom quantlab.signals import Strategy\n"
        "given = strategies.get('sma_cross')\n"
        "mine = Strategy('check_mine', given.space, given.signals, given.warmup)\n"
    )
    assert load_strategy("checked_object:mine").name == "check_mine"
    assert load_strategy("checked_object.py:check_mine").name == "check_mine"
    assert load_strategy("checked_rules:honest") is load_strategy("checked_rules:check_honest")
    with pytest.raises(InputError, match=r"several strategies: add one of :check_mine, :sma_cross"):
        load_strategy("checked_object:")
    with pytest.raises(UnknownNameError, match="did you mean 'mine'"):
        load_strategy("checked_object:mien")
    assert isinstance(load_strategy("sma_cross"), Strategy)
