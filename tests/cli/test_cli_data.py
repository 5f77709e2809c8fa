"""Candles by the command line: stored from files, listed, checked; a bad file changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import BTC, parse
from typer.testing import Result

from quantlab.lab import Lab
from quantlab.market.candles import Candles


def test_check_reads_stored_candles(call: Callable[..., Result]) -> None:
    done = call("check", "buy_and_hold", *BTC, "--start", "2018-01-01", "--end", "2018-02-01", "--json")
    found = parse(done.stdout)
    assert done.exit_code == 0, done.output
    assert found["ok"]
    assert found["market"]["bars"] == 31 * 24 + 1
    assert found["lookahead"]["findings"] == []


def test_markets_and_a_sample_stored_again(call: Callable[..., Result], lab: Lab) -> None:
    before = parse(call("markets", "--json").stdout)
    assert before["markets"] == [market._asdict() for market in lab.store.markets()]
    again = parse(call("sample", "--json").stdout)
    assert (again["bars"], again["missing"], again["revision"]) == (16_449, 0, 1)
    assert parse(call("markets", "--json").stdout) == before
    assert "BTC/USD" in call("markets").stdout


@pytest.mark.parametrize("form", ["parquet", "csv of milliseconds", "csv of ISO times"])
def test_import_stores_what_the_file_holds(
    call: Callable[..., Result], lab: Lab, planted: Candles, tmp_path: Path, form: str
) -> None:
    frame, file = planted[:500].to_frame(), tmp_path / f"candles.{form.split()[0]}"
    if form == "parquet":
        frame.to_parquet(file)
    elif form == "csv of milliseconds":
        frame.assign(timestamp=planted.timestamps[:500]).to_csv(file, index=False)
    else:
        frame.set_axis(frame.index.strftime("%Y-%m-%dT%H:%M+00:00")).rename_axis("timestamp").to_csv(file)
    market = ("file", form, "4h")
    options = [
        part for pair in zip(("--exchange", "--symbol", "--timeframe"), market, strict=True) for part in pair
    ]
    first, second = (parse(call("import", str(file), *options, "--json").stdout) for _ in range(2))
    assert first == second
    stored = lab.candles(*market)
    assert first["fingerprint"] == stored.fingerprint
    assert (first["bars"], first["first_ms"], first["revision"]) == (500, planted.first_ms, 1)
    np.testing.assert_array_equal(stored.close, planted.close[:500])


GOOD_ROW = "0,10,12,9,11,5\n"
HEADER = "timestamp,open,high,low,close,volume\n"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "", "cannot be read as candles"),
        ("a.csv", HEADER, "timestamp"),
        ("a.csv", HEADER + GOOD_ROW + "3600000,10,8,9,11,5\n", "high"),
        ("a.csv", HEADER + "3600000,10,12,9,11,5\n" + GOOD_ROW, "row"),
        ("a.csv", HEADER + GOOD_ROW + GOOD_ROW, "duplicated"),
        ("a.csv", HEADER + "yesterday,10,12,9,11,5\n", "yesterday"),
        ("a.csv", HEADER + "0,10,12,9,-1,5\n", "close"),
        ("a.csv", HEADER.replace("close", "clse") + GOOD_ROW, "'close'"),
        ("a.csv", "\x00\xff\n\x01,", "columns"),
        ("a.parquet", HEADER, "cannot be read as candles"),
        ("a.xlsx", HEADER, "neither .csv nor .parquet"),
    ],
)
def test_a_bad_file_is_refused_and_changes_nothing(
    call: Callable[..., Result], lab: Lab, tmp_path: Path, name: str, content: str, says: str
) -> None:
    file, before = tmp_path / name, lab.store.markets()
    file.write_text(content)
    done = call("import", str(file), "--exchange", "x", "--symbol", "A/B", "--timeframe", "1h", "--json")
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stdout == ""
    assert lab.store.markets() == before
