"""Hold-outs: no search sees them, looks are counted before they are answered, and run out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from typer.testing import CliRunner

import quantlab as ql
from quantlab import cli
from quantlab.errors import InputError, NotStoredError, StoreError
from quantlab.lab import Lab
from quantlab.lab.holding import HoldOutWarning
from quantlab.lab.look import Look
from quantlab.market.candles import Candles, iso
from quantlab.market.resample import resample
from quantlab.market.synthetic import garch, planted_momentum
from quantlab.settings import Settings
from quantlab.validation.statistics import upper_p
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import Verdict
from quantlab.validation.walkforward import trade_window

BARS, HELD = 2_600, 2_000
FAST, SLOW = [3, 5, 8, 12, 16, 20, 25, 30], [15, 20, 30, 40, 50, 60, 80, 100]
GATE = Gate(alpha=0.9, draws=19, folds=2)  # few draws: not the gate is tested here
OTHER = {"fast": [4, 6, 9, 13, 18], "slow": [24, 36, 54, 80]}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(Settings(home=tmp_path_factory.mktemp("hold-out home"))) as opened:
        yield opened


def named(candles: Candles, symbol: str) -> Candles:
    columns = [getattr(candles, n) for n in ("timestamps", "open", "high", "low", "close", "volume")]
    return Candles.from_arrays("desk", symbol, candles.timeframe, *columns)


@pytest.fixture
def stored(lab: Lab, request: pytest.FixtureRequest) -> Candles:
    """A market of its own for each test, with an edge."""
    made = planted_momentum(BARS, timeframe="1d", seed=1, true_sharpe=3.5)
    candles = named(made, f"{request.node.name}/USD")
    lab.put_candles(candles)
    return candles


def begin(candles: Candles) -> str:
    return iso(int(candles.timestamps[HELD]))[:10]


def locked(lab: Lab, stored: Candles, looks: int = 3) -> Candles:
    """What is left for searches after the end of a market was locked away."""
    lab.hold_out(stored.exchange, stored.symbol, start=begin(stored), looks=looks)
    with pytest.warns(HoldOutWarning, match="0 of"):
        return lab.candles(stored.exchange, stored.symbol, "1d")


def approved(lab: Lab, candles: Candles, grid: dict | None = None) -> Verdict:
    surface = lab.sweep("sma_cross", candles, grid or {"fast": FAST, "slow": SLOW}, progress=False)
    verdict = lab.validate(surface, candles, gate=GATE, progress=False)
    assert verdict.approved, str(verdict)
    return verdict


def test_candles_end_before_it_and_say_so(lab: Lab, stored: Candles) -> None:
    known = locked(lab, stored)
    assert known == stored[:HELD]
    where, day = (stored.exchange, stored.symbol, "1d"), begin(stored)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # whoever says where to end is not told
        assert len(lab.candles(*where, end=iso(int(stored.timestamps[HELD - 1])))) == HELD
    for period in ({"end": day}, {"start": day}, {"end": iso(stored.last_ms)}):
        with pytest.raises(InputError, match="reach into the hold-out of desk:"):
            lab.candles(*where, **period)
    frame = lab.hold_outs()
    assert frame[frame["family"] == stored.family]["looks"].tolist() == [3]


def test_every_timeframe_is_held_out(lab: Lab, request: pytest.FixtureRequest) -> None:
    hours = named(garch(24 * 60, timeframe="1h", seed=2), f"{request.node.name}/USD")
    for candles in (hours, resample(hours, "4h")):
        lab.put_candles(candles)
    day = 86_400_000
    first = (hours.first_ms // day + 40) * day
    lab.hold_out("desk", hours.symbol, start=iso(first)[:10], looks=1)
    for timeframe, step in (("1h", 3_600_000), ("4h", 4 * 3_600_000)):
        with pytest.warns(HoldOutWarning):
            assert lab.candles("desk", hours.symbol, timeframe).last_ms + step == first
    with pytest.raises(InputError, match="begins with a UTC day"):
        lab.hold_out("desk", "other/USD", start="2020-01-01T12:00")


SEARCHES: dict[str, Callable[[Lab, Candles], object]] = {
    "sweep": lambda lab, candles: lab.sweep("sma_cross", candles, OTHER, progress=False),
    "search": lambda lab, candles: lab.search(
        "sma_cross", candles, sampler="random", trials=5, progress=False
    ),
    "submit": lambda lab, candles: lab.submit("sma_cross", candles, OTHER),
}


@pytest.mark.parametrize("door", SEARCHES)
def test_no_search_reaches_into_it(lab: Lab, stored: Candles, door: str) -> None:
    locked(lab, stored)
    for candles in (stored, stored[: HELD + 1], stored[HELD:]):
        with pytest.raises(InputError, match="reach into the hold-out"):
            SEARCHES[door](lab, candles)
    assert len(lab.ledger(stored).searches) == 0
    outside = ql.sweep("sma_cross", stored, OTHER, progress=False)
    with pytest.raises((InputError, StoreError), match="reach"):
        lab.validate(outside, stored, progress=False)
    with pytest.raises(InputError, match="reach into"):
        lab.run(outside, outside.best())
    SEARCHES[door](lab, stored[:HELD])


def test_who_insists_spends_it(lab: Lab, stored: Candles) -> None:
    known = locked(lab, stored)
    verdict = approved(lab, known)
    lab.sweep("sma_cross", stored, OTHER, progress=False, spend_hold_out=True)
    held = lab.hold_out("desk", stored.symbol)
    assert (held.ended, held.touches, held.used) == ("spend", 1, 0)
    assert "spent on" in str(held)
    with pytest.raises(InputError, match="answers nothing any more"):
        lab.look(verdict)
    assert lab.candles("desk", stored.symbol, "1d") == stored  # and no warning any more
    with pytest.raises(InputError, match="begin it after them"):
        lab.hold_out("desk", stored.symbol, start=begin(stored))
    later = iso(stored.last_ms + 86_400_000)[:10]
    assert lab.hold_out("desk", stored.symbol, start=later).ended is None


def test_candles_can_be_had_at_that_price(lab: Lab, stored: Candles) -> None:
    locked(lab, stored)
    assert lab.candles("desk", stored.symbol, "1d", spend_hold_out=True) == stored
    assert lab.hold_out("desk", stored.symbol).ended == "spend"


def test_a_release_names_who_and_why(lab: Lab, stored: Candles) -> None:
    locked(lab, stored)
    with pytest.raises(InputError, match="names who and why"):
        lab.release_hold_out("desk", stored.symbol, by=" ", reason="bored")
    held = lab.release_hold_out("desk", stored.symbol, by="ana", reason="the study is over")
    assert (held.ended, held.ended_by, held.reason) == ("release", "ana", "the study is over")
    assert lab.sweep("sma_cross", stored, OTHER, progress=False).counted
    with pytest.raises(NotStoredError, match="no hold-out"):
        lab.release_hold_out("desk", stored.symbol, by="ana", reason="again")


def test_a_look_is_a_trade_on_bars_that_nobody_saw(lab: Lab, stored: Candles) -> None:
    known = locked(lab, stored, looks=2)
    verdict = approved(lab, known)
    found = lab.look(verdict)
    execution = ql.Execution()
    window = trade_window(
        ql.strategies.get("sma_cross"), stored, verdict.cell.params, execution, slice(HELD, BARS)
    )
    assert (found.value, found.p) == (window.timing_t, upper_p(window.timing_t))
    assert found.net_return == pytest.approx(float(np.prod(1 + window.daily)) - 1)
    assert (found.days, found.trades) == (BARS - HELD, window.trades)
    assert found.threshold == 0.025
    assert found.passed == (found.p <= 0.025)
    assert found.passed  # a strong edge, 600 days
    assert (found.number, found.looks) == (1, 2)
    assert "Look 1 of 2" in str(found)
    assert Look.from_json(json.loads(json.dumps(found.to_json()))) == found
    for _ in range(2):  # the same candidate costs nothing more
        assert lab.look(verdict) == found
    assert lab.hold_out("desk", stored.symbol).used == 1


def test_looks_run_out(lab: Lab, stored: Candles) -> None:
    known = locked(lab, stored, looks=1)
    first = lab.look(approved(lab, known))
    other = approved(lab, known, OTHER)
    with pytest.raises(InputError, match="1 of 1 looks used: none is left"):
        lab.look(other)
    assert lab.look(approved(lab, known)) == first
    surface = lab.sweep("sma_cross", known, {"fast": [5], "slow": [180]}, progress=False)
    refused = lab.validate(surface, gate=Gate(min_trades=500), progress=False)
    assert not refused.approved
    with pytest.raises(InputError, match="approved candidates only"):
        lab.look(refused)


def test_touches_are_in_the_document_and_on_the_page(lab: Lab, stored: Candles) -> None:
    known = locked(lab, stored)
    verdict = approved(lab, known)
    before = lab._document(verdict)["validation"]
    assert before["hold_out_touches"] == 0
    found = lab.look(verdict)
    assert lab._document(verdict)["validation"]["hold_out_touches"] == 1
    page = lab.report(verdict, path=lab.settings.home / "page.html").read_text()
    assert "1 of 3 looks used; 1 touches" in page
    assert "Look 1 of 3" in page
    assert f"Timing t {found.value:.2f}" in page
    approval = lab.approve(verdict, by="ana", reason="held on what nobody saw")
    assert json.loads(approval.path.read_bytes())["validation"]["hold_out_touches"] == 1


def test_stored_candles_that_changed_are_not_looked_at(lab: Lab, stored: Candles) -> None:
    known = locked(lab, stored)
    verdict = approved(lab, known)
    frame = stored.to_frame().reset_index()
    frame.loc[5, "volume"] += 1.0
    lab.put_candles(frame, "desk", stored.symbol, "1d")
    with pytest.raises(InputError, match="not those that were judged"):
        lab.look(verdict)
    assert lab.hold_out("desk", stored.symbol).used == 0


KILLED = """
import sys, time
from pathlib import Path
from quantlab.lab import Lab, holding
from quantlab.settings import Settings
from quantlab.validation.thresholds import Gate
home, symbol, end = sys.argv[1:]
lab = Lab(Settings(home=Path(home)))
candles = lab.candles("desk", symbol, "1d", end=end)
surface = lab.sweep("sma_cross", candles, {"fast": %s, "slow": %s}, progress=False)
verdict = lab.validate(surface, gate=%r, progress=False)
def slow(*_):
    print("counted", flush=True)
    time.sleep(600)
holding.trade = slow
lab.look(verdict)
"""


def test_a_look_that_is_killed_was_counted_and_is_answered_when_asked_again(
    lab: Lab, stored: Candles
) -> None:
    known = locked(lab, stored, looks=1)
    verdict = approved(lab, known)
    script = KILLED % (FAST, SLOW, GATE)
    command = [sys.executable, "-c", script, str(lab.settings.home), stored.symbol, iso(known.last_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "counted\n"
        process.send_signal(signal.SIGKILL)
    assert lab.hold_out("desk", stored.symbol).used == 1
    with pytest.raises(InputError, match="none is left"):
        lab.look(approved(lab, known, OTHER))
    assert lab.look(verdict).number == 1
    assert lab.hold_out("desk", stored.symbol).used == 1


def test_the_verbs(lab: Lab, stored: Candles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTLAB_HOME", str(lab.settings.home))
    where = ["desk", stored.symbol]
    grid = [f"--set=fast={','.join(map(str, FAST))}", f"--set=slow={','.join(map(str, SLOW))}"]

    def call(*words: str, code: int = 0) -> dict:
        result = CliRunner().invoke(cli.app, [*words, "--json"])
        assert result.exit_code == code, result.output
        said.append(result.stderr)
        return json.loads(result.stdout) if result.stdout else {}

    said: list[str] = []
    never = ["--set=fast=5", "--set=slow=180", "--min-trades=500"]
    held = call("holdout", "lock", *where, "--start", begin(stored), "--looks", "1")
    assert (held["family"], held["looks"], held["used"], held["ended"]) == (stored.family, 1, 0, None)
    call("holdout", "lock", *where, "--start", begin(stored), "--looks", "2", code=2)
    assert "neither moved nor changed" in said[-1]
    assert held in call("holdout", "list")["hold_outs"]
    found = call("holdout", "look", "sma_cross", *where, "1d", *grid)
    assert "before the hold-out of" in said[-1]
    assert found["look"]["passed"]
    assert call("holdout", "look", "sma_cross", *where, "1d", *grid) == found
    nothing = call("holdout", "look", "sma_cross", *where, "1d", *never, code=1)
    assert (nothing["looked"], nothing["look"]) == (False, None)
    released = call("holdout", "release", *where, "--by", "ana", "--reason", "over")
    assert (released["ended"], released["used"], released["touches"]) == ("release", 1, 2)
