from __future__ import annotations

import json

import numpy as np
import pytest

from quantlab import strategies
from quantlab.errors import InputError
from quantlab.indicators import shift, sma
from quantlab.market import synthetic
from quantlab.market.candles import COLUMNS
from quantlab.signals import Signals, Strategy, above, all_of, below
from quantlab.space import Int, Space
from quantlab.validation import futures
from quantlab.validation.findings import CANNOT_SHOW
from quantlab.validation.lookahead import find_lookahead
from quantlab.validation.thinning import MOST_CELL_BARS, thinned

SPACE = Space(Int("window", 2, 50, 10, "bars", "lookback", "entry"), owner="probe")
CANDLES = synthetic.garch(1_500, seed=3)


def strategy(signals, warmup=lambda p: p["window"] + 2, space=SPACE):
    return Strategy("probe", space, signals, warmup, {"window": [5, 10, 20]} if space is SPACE else {})


def probe(long, **options):
    """A strategy that is long where `long(candles)` says so."""
    return strategy(lambda c, p: Signals(long=np.broadcast_to(long(c), (1, len(c.close)))), **options)


def ahead(values, bars):
    return np.r_[values[bars:], np.full(min(bars, len(values)), np.nan)]


def above_mean(c, p):
    return c.close > sma(c.close, p.window)


@pytest.mark.parametrize("bars", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("column", COLUMNS)
def test_distance_and_column_are_named(column, bars):
    leaky = strategy(
        lambda c, p: Signals(
            long=above_mean(c, p)
            & (ahead(getattr(c, column), bars) > np.nan_to_num(shift(getattr(c, column), 1)))
        )
    )
    (leak,) = find_lookahead(leaky, CANDLES).findings
    assert (leak.kind, leak.field, leak.nearest, leak.furthest, leak.columns) == (
        "lookahead",
        "long",
        bars,
        bars,
        (column,),
    )
    assert f"the long entry at {np.datetime_as_string(np.datetime64(leak.time_ms, 'ms'), unit='m')}Z" in str(
        leak
    )
    assert "the next bar" in str(leak) if bars == 1 else f"the bar {bars} later" in str(leak)
    assert f"({column})" in str(leak)


def test_a_span_of_bars_is_named():
    leaky = probe(lambda c: c.close > np.convolve(np.pad(c.close, 4, "edge"), np.ones(9) / 9, "valid"))
    (leak,) = find_lookahead(leaky, CANDLES).leaks
    assert (leak.nearest, leak.furthest) == (1, 4)
    assert "on bars 1 to 4 later (close)" in str(leak)


def test_the_clause_is_named():
    def signals(c, p):
        return Signals(
            long=all_of(above_mean(c, p), c.volume > 0, above(ahead(c.high, 3), 1.001 * c.close)),
            short=all_of(below(c.close, sma(c.close, p.window)), c.volume > 0),
        )

    (leak,) = find_lookahead(strategy(signals), CANDLES).findings
    assert (leak.field, leak.clause, leak.of, leak.nearest, leak.columns) == ("long", 3, 3, 3, ("high",))
    assert "on the bar 3 later (high), through clause 3 of 3" in str(leak)


def test_a_clause_that_knows_the_future_is_found_before_it_decides_anything():
    leaky = strategy(lambda c, p: Signals(long=all_of(above_mean(c, p), below(ahead(c.low, 1), 1e9))))
    (leak,) = find_lookahead(leaky, CANDLES, replays=0).findings
    assert (leak.clause, leak.nearest, leak.decided) == (2, 1, True)  # cut off, the last entry is gone
    hidden = strategy(
        lambda c, p: Signals(long=all_of(above_mean(c, p), above(1e9, np.nan_to_num(ahead(c.low, 1)))))
    )
    (leak,) = find_lookahead(hidden, CANDLES, replays=0).findings
    assert (leak.clause, leak.nearest, leak.decided) == (2, 1, False)
    assert "stays on these candles, but a clause of it changes" in str(leak)


LEAKS = {
    "maximum of all": lambda c: c.close > 0.5 * c.close.max(),
    "mean of all": lambda c: c.close > c.close.mean(),
    "quantile of all volumes": lambda c: c.volume > np.quantile(c.volume, 0.9),
    "age from the end": lambda c: np.arange(len(c.close))[::-1] % 7 == 0,
}


@pytest.mark.parametrize("name", LEAKS)
def test_leaks_over_the_whole_sample_are_found_by_the_cuts_alone(name):
    found = find_lookahead(probe(LEAKS[name]), CANDLES, replays=0)
    assert [leak.field for leak in found.leaks] == ["long"]
    assert not found.ok


def test_the_number_of_bars_is_not_taken_for_a_price():
    (leak,) = find_lookahead(probe(LEAKS["age from the end"]), CANDLES).leaks
    assert (leak.nearest, leak.furthest, leak.columns) == (None, None, ())
    assert "depends on how many bars follow" in str(leak)


def test_every_field_that_leaks_is_reported():
    def signals(c, p):
        return Signals(
            long=above_mean(c, p),
            short=ahead(c.close, 2) < c.close,
            stop=np.full((1, len(c.close)), c.high.max() - c.low.min()),
            max_holding=np.where(ahead(c.close, 5) > c.close, 20, 10),
        )

    found = find_lookahead(strategy(signals), CANDLES)
    assert {leak.field: leak.nearest for leak in found.leaks} == {"short": 2, "stop": 1, "max_holding": 5}
    assert found.leaks == found.findings
    assert {leak.field: leak.to_end for leak in found.leaks} == {
        "short": False,
        "stop": True,
        "max_holding": False,
    }


def test_chance_is_found_and_ends_the_search():
    rng = np.random.default_rng(1)
    found = find_lookahead(probe(lambda c: rng.random(len(c.close)) < 0.1), CANDLES)
    assert [finding.kind for finding in found.findings] == ["repetition"]
    assert "keep no state, draw no random numbers" in str(found)
    assert found.replayed == 0


def test_a_strategy_that_raises_on_a_prefix_is_a_finding():
    def picky(c, p):
        if len(c.close) < 1_500:
            raise ValueError("too short")
        return Signals(long=above_mean(c, p))

    found = find_lookahead(strategy(picky), CANDLES)
    assert {finding.kind for finding in found.findings} == {"raises"}
    assert "cut off it raised ValueError: too short" in str(found)


def test_a_strategy_that_always_raises_is_an_error_with_its_name():
    def broken(c, p):
        raise KeyError("closes")

    with pytest.raises(KeyError) as caught:
        find_lookahead(strategy(broken), CANDLES)
    assert caught.value.__notes__ == ["raised by probe on 1,500 bars."]


def test_fields_that_come_and_go_are_a_finding():
    def moody(c, p):
        long = above_mean(c, p)
        return Signals(long=long, exit_long=~long if c.close[-1] > c.close[0] else None)

    found = find_lookahead(strategy(moody), CANDLES)
    assert ("fields", "exit_long") in {(finding.kind, finding.field) for finding in found.findings}
    assert "`exit_long` is returned only sometimes" in str(found)


def test_a_time_axis_of_another_length_is_an_error():
    late = strategy(lambda c, p: Signals(long=above_mean(c, p), exit_long=c.close[1:] > c.close[:-1]))
    with pytest.raises(InputError, match=r"`exit_long` of probe must end in a time axis of 1,500 bars, got"):
        find_lookahead(late, CANDLES)


def test_a_short_warmup_is_told_from_look_ahead_with_the_length_that_is_enough():
    hasty = strategy(lambda c, p: Signals(long=above_mean(c, p)), lambda p: p["window"] - 1)
    (finding,) = find_lookahead(hasty, CANDLES).findings
    assert (finding.kind, finding.field) == ("warmup", "long")
    assert finding.needed_bars == finding.params["window"]
    assert f"declare a warm-up of at least {finding.needed_bars} bars" in str(finding)
    assert "no later bar is involved" in str(finding)


def test_endless_memory_is_said_to_be_that():
    growing = probe(lambda c: c.close > np.cumsum(c.close) / np.arange(1, len(c.close) + 1))
    (finding,) = find_lookahead(growing, CANDLES).findings
    assert finding.kind == "warmup"
    assert not find_lookahead(growing, CANDLES).leaks


def test_every_change_of_a_signal_is_replayed_unless_there_are_too_many():
    clean = strategy(lambda c, p: Signals(long=above_mean(c, p)))
    whole = find_lookahead(clean, CANDLES)
    assert whole.changes_replayed == whole.changes > 300
    assert whole.replayed > whole.changes
    few = find_lookahead(clean, CANDLES, replays=50)
    assert few.replayed == few.changes_replayed == 50
    assert f"50 of {few.changes:,} signal changes" in few.looked_at
    assert find_lookahead(clean, CANDLES, replays=0).replayed == 0


def test_a_leak_on_one_bar_is_found_by_the_replay_alone():
    def signals(c, p):
        noon = c.timestamps == CANDLES.timestamps[700]
        return Signals(long=(above_mean(c, p) & ~noon) | (noon & (ahead(c.close, 2) > 0.5 * c.close)))

    assert find_lookahead(strategy(signals), CANDLES, replays=0).ok
    (leak,) = find_lookahead(strategy(signals), CANDLES).findings
    assert (leak.bar, leak.nearest, leak.furthest) == (700, 2, 2)


def test_a_leak_in_one_cell_of_a_grid_names_the_cell():
    def signals(c, p):
        return Signals(long=np.where(p.window == 10, ahead(c.close, 1) > c.close, above_mean(c, p)))

    (leak,) = find_lookahead(strategy(signals), CANDLES).findings
    assert leak.params == {"window": 10}
    assert find_lookahead(strategy(signals), CANDLES, SPACE.points([{"window": 5}])).ok


def test_a_cell_that_leaks_only_among_others_is_found_and_said_so():
    def crowded(c, p):
        known = above_mean(c, p)
        return Signals(long=known & (ahead(c.close, 1) > c.close) if p.window.size > 1 else known)

    found = find_lookahead(strategy(crowded), CANDLES, replays=0)
    assert found.leaks
    assert "looks ahead among other cells only" in str(found)


def test_cells_that_break_a_constraint_are_not_looked_at():
    space = Space(Int("fast", 2, 50, 10), Int("slow", 5, 60, 20), constraints=("fast < slow",), owner="probe")

    def signals(c, p):
        broken = (p.fast >= p.slow) & (ahead(c.close, 1) > c.close)
        return Signals(long=np.where(p.fast >= p.slow, broken, sma(c.close, p.fast) > sma(c.close, p.slow)))

    clean = strategy(signals, lambda p: np.maximum(p["slow"], p["fast"]) + 1, space)
    assert find_lookahead(clean, CANDLES, space.grid(fast=[5, 10, 30], slow=[8, 20, 40])).ok
    with pytest.raises(InputError, match="no cell of probe satisfies"):
        find_lookahead(clean, CANDLES, space.grid(fast=[30], slow=[8]))


def test_what_is_never_read_may_know_the_future():
    """Entries of the warm-up and on lost bars are dropped, so what they would have been does not matter."""

    def signals(c, p):
        start = np.arange(len(c.close)) < 9
        filled = np.where(np.isnan(c.close), ahead(c.close, 1), c.close)
        return Signals(
            long=np.where(start, ahead(c.close, 5) > 0, filled > 0), stop=np.where(start, 1.0, 2.0)
        )

    assert find_lookahead(strategy(signals, lambda p: p["window"] * 0 + 10), CANDLES).ok


def test_an_exit_on_a_lost_bar_may_not():
    def signals(c, p):
        filled = np.where(np.isnan(c.close), ahead(c.close, 1), c.close)
        return Signals(long=above_mean(c, p), exit_long=filled < 11_000)

    (leak,) = find_lookahead(strategy(signals), CANDLES).leaks
    assert (leak.field, leak.nearest, leak.columns) == ("exit_long", 1, ("close",))
    assert "lost bars before the cut" in str(leak)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["sma_cross", "liquidity_sweep"])
def test_the_library_is_clean(name, seed):
    found = strategies.get(name)
    cells = found.space.points([found.space.defaults])
    report = find_lookahead(found, synthetic.garch(1_500, seed=seed), cells)
    assert report.ok, str(report)
    assert report.changes > 5  # otherwise there was nothing to find a leak in


def test_the_same_call_gives_the_same_report():
    leaky = probe(LEAKS["mean of all"])
    assert find_lookahead(leaky, CANDLES) == find_lookahead(leaky, CANDLES)
    assert (
        find_lookahead(leaky, CANDLES, seed=1).looked_at != find_lookahead(leaky, CANDLES, seed=2).looked_at
    )


def test_too_few_bars_are_an_error():
    with pytest.raises(InputError, match="at least 20 bars, got 19"):
        find_lookahead(probe(LEAKS["mean of all"]), CANDLES[:19])


def test_text_table_html_and_json_say_the_same():
    found = find_lookahead(probe(lambda c: ahead(c.close, 1) > c.close), CANDLES)
    text, page = str(found), found._repr_html_()
    assert text.startswith("probe on synthetic GARCH-3/USD 1h: looks into the future")
    assert text.endswith(CANNOT_SHOW)
    assert found.looked_at in text
    assert "depends on the next bar (close)" in page
    assert "&#x27;window&#x27;" in page
    table = found.to_frame()
    assert table[["kind", "field", "nearest"]].values.tolist() == [["lookahead", "long", 1]]
    assert table["time"][0].value // 10**6 == found.findings[0].time_ms
    document = json.loads(json.dumps(found.to_json()))
    assert not document["ok"]
    assert document["findings"][0]["columns"] == ["close"]
    assert document["cannot_show"] == CANNOT_SHOW


def test_a_clean_report_is_short_and_says_what_it_cannot_show():
    found = find_lookahead(strategy(lambda c, p: Signals(long=above_mean(c, p))), CANDLES)
    assert str(found).splitlines()[0] == "probe on synthetic GARCH-3/USD 1h: no look-ahead found"
    assert len(str(found).splitlines()) == 3
    assert found.to_frame().empty


def test_progress_is_shown_when_asked(capsys):
    clean = strategy(lambda c, p: Signals(long=above_mean(c, p)))
    find_lookahead(clean, CANDLES)
    assert capsys.readouterr().err == ""
    find_lookahead(clean, CANDLES, progress=True)
    assert "look-ahead of probe" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(20))
def test_no_cut_begins_a_bar_of_a_higher_timeframe(seed):
    fired = [np.arange(1_500) % 11 == seed % 11]
    cuts = futures.choose_cuts(CANDLES, fired, 4, np.random.default_rng(seed))
    hours = CANDLES.timestamps[cuts] // 3_600_000
    assert len(cuts) == 4
    assert not any((hours % k == 0).any() for k in (2, 3, 4, 6, 8, 12, 24, 168))
    assert all(fired[0][cut - 1] for cut in cuts[:-1])


def test_a_changed_future_leaves_the_past_and_moves_every_column_shape_and_colour():
    for factor in (3.0, 1 / 3):
        other = futures.changed(CANDLES, 1_000, 1_400, factor, np.random.default_rng(0))
        for name in COLUMNS:
            before, after = getattr(CANDLES, name), getattr(other, name)
            assert np.array_equal(np.r_[before[:1_000], before[1_400:]], np.r_[after[:1_000], after[1_400:]])
            assert (before[1_000:1_400] != after[1_000:1_400]).all()
        new = slice(1_000, 1_400)
        assert ((other.close > other.open)[new] == (factor > 1)).all()
        assert (other.high >= np.maximum(other.open, other.close))[new].all()
        assert (other.low <= np.minimum(other.open, other.close))[new].all()
        assert (other.low > 0)[new].all()


def test_lost_bars_stay_lost_in_other_futures():
    candles = futures.losing(CANDLES, 700)
    assert candles.missing.sum() == futures.LOST_BARS
    for _, other in (*futures.futures(candles, 600, 0),)[1:]:
        assert np.array_equal(np.isnan(other.close), candles.missing)


def test_a_large_grid_is_thinned_evenly_and_keeps_its_ends():
    grid = strategies.get("liquidity_sweep").grid()
    kept = thinned(grid, 16_000)
    assert MOST_CELL_BARS / 16_000 * 0.5 < kept.size <= MOST_CELL_BARS / 16_000
    for name, values in kept.axes.items():
        assert len(values) > 1
        assert {values[0], values[-1]} == {grid.axes[name][0], grid.axes[name][-1]}
    assert thinned(kept, 16_000) is kept
    points = SPACE.points([{"window": 2 + i % 40} for i in range(3_000)])
    assert thinned(points, 40_000).size == 1_000
