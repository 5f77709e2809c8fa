from __future__ import annotations

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored_candles import FIRST_MS, market

from quantlab.errors import CandlesError, InputError, NotStoredError, StoreError, UnknownNameError
from quantlab.market.candles import COLUMNS, MISSING, Candles
from quantlab.store.store import Store

HOUR = 3_600_000


def same(one: Candles, other: Candles) -> bool:
    return one.fingerprint == other.fingerprint and bool((one.flags == other.flags).all())


def test_candles_come_back_as_they_went_in_with_lost_bars_lost(store: Store, sql: psycopg.Connection) -> None:
    candles = market(500, lost=(7, 8, 9, 100))
    assert store.put_candles(candles) == 1
    back = store.candles("coinbase", "BTC/USD", "1h")
    assert same(back, candles)
    assert back.missing.sum() == 4
    assert sql.execute("select count(*) from candle").fetchone() == (496,)


def test_the_revision_counts_changes_and_only_changes(store: Store) -> None:
    longer = market(150)
    candles = longer[:100]
    assert [store.put_candles(candles), store.put_candles(candles)] == [1, 1]
    assert store.put_candles(candles[20:40]) == 1
    assert [store.put_candles(longer), store.put_candles(candles)] == [2, 2]
    assert same(store.candles("coinbase", "BTC/USD", "1h"), longer)
    changed = {name: getattr(longer, name).copy() for name in COLUMNS}
    changed["volume"][33] += 1
    other = Candles.from_arrays("coinbase", "BTC/USD", "1h", longer.timestamps, **changed)
    assert store.put_candles(other) == 3
    assert same(store.candles("coinbase", "BTC/USD", "1h"), other)


def test_a_bar_that_is_stored_stays_when_it_is_lost_later(store: Store) -> None:
    whole = market(50)
    store.put_candles(whole)
    assert store.put_candles(market(50, lost=(10, 11))) == 1
    assert same(store.candles("coinbase", "BTC/USD", "1h"), whole)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    derandomize=True,
)
@given(
    parts=st.lists(
        st.tuples(st.integers(0, 39), st.integers(1, 40), st.integers(0, 2), st.sets(st.integers(0, 39))),
        min_size=1,
        max_size=4,
    ),
    symbol=st.text("ABC/", min_size=1, max_size=12),
)
def test_any_sequence_of_writes_reads_back_as_a_dictionary_would(
    store: Store, parts: list[tuple[int, int, int, set[int]]], symbol: str
) -> None:
    expected: dict[int, tuple[float, ...]] = {}
    known = [entry for entry in store.markets() if entry.symbol == symbol]
    if known:  # of an earlier example
        back = store.candles("coinbase", symbol, "1h")
        expected = rows(back)
    revision = known[0].revision if known else 0
    for first, length, seed, lost in parts:
        part = market(80, seed, tuple(lost), symbol=symbol)[first : first + length]
        if part.missing.all():
            continue
        merged = expected | rows(part)
        revision += merged != expected
        expected = merged
        assert store.put_candles(part) == revision
    if expected:
        back = store.candles("coinbase", symbol, "1h")
        assert rows(back) == expected
        assert (back.first_ms, back.last_ms) == (min(expected), max(expected))
        start, end = min(expected) + HOUR, max(expected) - HOUR
        within = {ms: row for ms, row in expected.items() if start <= ms <= end}
        if within:
            assert rows(store.candles("coinbase", symbol, "1h", start, end)) == within


def rows(candles: Candles) -> dict[int, tuple[float, ...]]:
    columns = [getattr(candles, name) for name in COLUMNS]
    return {
        int(ms): tuple(column[i] for column in columns)
        for i, ms in enumerate(candles.timestamps)
        if not candles.missing[i]
    }


def test_a_single_bar_and_two_bars_far_apart_can_be_read(store: Store) -> None:
    store.put_candles(market(300, lost=tuple(range(1, 298))))
    assert len(store.candles("coinbase", "BTC/USD", "1h", end_ms=FIRST_MS)) == 1
    far = store.candles("coinbase", "BTC/USD", "1h", end_ms=FIRST_MS + 298 * HOUR)
    assert len(far) == 299
    assert far.missing.sum() == 297


def test_what_is_not_stored_is_said_with_the_nearest_first(store: Store) -> None:
    with pytest.raises(NotStoredError, match="holds none yet"):
        store.candles("coinbase", "BTC/USD", "1h")
    store.put_candles(market(10, symbol="XRP/EUR", exchange="kraken"))
    store.put_candles(market(10))
    with pytest.raises(
        NotStoredError, match=r"nearest are coinbase BTC/USD 1h \(10 bars\), kraken XRP/EUR 1h"
    ):
        store.candles("coinbase", "BTC/USDT", "1h")
    with pytest.raises(NotStoredError, match=r"stored are 2018-01-01T00:00Z to 2018-01-01T09:00Z"):
        store.candles("coinbase", "BTC/USD", "1h", start_ms=FIRST_MS + 100 * HOUR)
    with pytest.raises(UnknownNameError, match="did you mean '1h'"):
        store.candles("coinbase", "BTC/USD", "1hr")


def test_markets_lists_what_is_there(store: Store) -> None:
    store.put_candles(market(10, lost=(4,)))
    store.put_candles(market(20, timeframe="1m"))
    minute, hour = sorted(store.markets(), key=lambda m: m.timeframe, reverse=True)
    assert hour == ("coinbase", "BTC/USD", "1h", FIRST_MS, FIRST_MS + 9 * HOUR, 9, 1)
    assert (minute.timeframe, minute.rows, minute.last_ms) == ("1m", 20, FIRST_MS + 19 * 60_000)


def test_candles_of_nothing_are_refused_and_make_no_series(store: Store, sql: psycopg.Connection) -> None:
    with pytest.raises(InputError, match="nothing to store"):
        store.put_candles(market(10, lost=(2, 3))[2:4])
    assert sql.execute("select count(*) from series").fetchone() == (0,)


def test_the_views_have_the_documented_columns_and_take_rows(store: Store, sql: psycopg.Connection) -> None:
    documented = ["exchange", "symbol", "timestamp", "open", "high", "low", "close", "volume"]
    for view, columns in (
        ("market_data", documented),
        ("market_data_enhanced", ["exchange", "symbol", "timeframe", *documented[2:]]),
    ):
        assert [c.name for c in sql.execute(f"select * from {view}").description or ()] == columns
    minutes = market(30, timeframe="1m")
    values = [getattr(minutes, name) for name in COLUMNS]
    with sql.transaction():
        for i, ms in enumerate(minutes.timestamps):
            sql.execute(
                "insert into market_data values (%s, %s, %s, %s, %s, %s, %s, %s)",
                ["coinbase", "BTC/USD", int(ms), *(float(column[i]) for column in values)],
            )
    assert store.markets()[0].revision == 1  # once a transaction
    assert same(store.candles("coinbase", "BTC/USD", "1m"), minutes)
    assert store.put_candles(minutes) == 1
    row = ["coinbase", "BTC/USD", "4h", FIRST_MS, 1.0, 2.0, 0.5, 1.5, 10.0]
    insert = "insert into market_data_enhanced values (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
    sql.execute(insert, row)
    assert sql.execute("select * from market_data_enhanced where timeframe = '4h'").fetchone() == tuple(row)
    assert store.candles("coinbase", "BTC/USD", "4h").high[0] == 2.0
    with pytest.raises(psycopg.errors.UniqueViolation):
        sql.execute(insert, row)


IMPOSSIBLE = [
    (2, "7h"),
    (0, ""),
    (3, FIRST_MS + 1),
    (4, 3.0),
    (5, float("nan")),
    (5, float("inf")),
    (6, -1.0),
    (7, 0.4),
    (8, -1.0),
    (8, float("nan")),
    (8, None),
]


def test_the_views_refuse_what_no_market_does(sql: psycopg.Connection) -> None:
    for place, value in IMPOSSIBLE:
        row: list[object] = ["coinbase", "BTC/USD", "4h", FIRST_MS, 1.0, 2.0, 0.5, 1.5, 10.0]
        row[place] = value
        with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.NotNullViolation)):
            sql.execute("insert into market_data_enhanced values (%s, %s, %s, %s, %s, %s, %s, %s, %s)", row)
    assert sql.execute("select count(*) from candle").fetchone() == (0,)


def test_a_failed_write_leaves_nothing(store: Store, sql: psycopg.Connection) -> None:
    sql.execute("alter table candle add check (ts < " + str(FIRST_MS + 50 * HOUR) + ")")
    with pytest.raises(StoreError, match="refused"):
        store.put_candles(market(100))
    assert sql.execute("select (select count(*) from candle), (select count(*) from series)").fetchone() == (
        0,
        0,
    )
    assert store.put_candles(market(50)) == 1


def test_two_writers_at_once_lose_nothing(store: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    whole = market(400)
    parts = [whole[i : i + 60] for i in range(0, 400, 40)]
    with ThreadPoolExecutor(6) as pool:
        revisions = list(pool.map(store.put_candles, parts))
    assert max(revisions) == store.markets()[0].revision
    assert same(store.candles("coinbase", "BTC/USD", "1h"), whole)


def test_flags_are_found_again_when_reading(store: Store) -> None:
    candles = market(60, lost=(5,))
    columns = {name: getattr(candles, name).copy() for name in COLUMNS}
    for name in COLUMNS[:4]:
        columns[name][20] = columns["close"][19]
    columns["volume"][20] = -0.0
    quiet = Candles.from_arrays("coinbase", "BTC/USD", "1h", candles.timestamps, **columns)
    store.put_candles(quiet)
    back = store.candles("coinbase", "BTC/USD", "1h")
    assert same(back, quiet)
    assert back.flags[5] & MISSING
    assert not np.signbit(back.volume[20])


def test_impossible_stored_rows_are_not_read_as_candles(store: Store, sql: psycopg.Connection) -> None:
    store.put_candles(market(10))
    sql.execute("alter table candle drop constraint candle_possible")
    sql.execute("update candle set high = low / 2 where ts = %s", [FIRST_MS])
    with pytest.raises(CandlesError, match="high is below low"):
        store.candles("coinbase", "BTC/USD", "1h")
