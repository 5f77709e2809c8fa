"""What the database itself holds about hold-outs, whoever asks it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from quantlab.errors import InputError, NotStoredError, StoreError
from quantlab.store.holdouts import get
from quantlab.store.store import Store
from quantlab.store.trials import Entry

DAY = 86_400_000
FAMILY = "desk:AAA/USD"
START = 100 * DAY


def entry(key: str, period: tuple[int, int] | None, family: str = FAMILY) -> Entry:
    return Entry(key, "f", family, "s", 5, "grid", period=period)


def test_a_hold_out_is_found_again_and_never_changed(store: Store) -> None:
    held = store.hold_outs.lock(FAMILY, START, 3, 0.05)
    assert (held.start, held.used, held.touches, held.ended) == ("1970-04-11", 0, 0, None)
    assert held.threshold == pytest.approx(0.05 / 3)
    assert store.hold_outs.lock(FAMILY, START, 3, 0.05) == held
    for other in ((START + DAY, 3, 0.05), (START - DAY, 3, 0.05), (START, 4, 0.05), (START, 3, 0.1)):
        with pytest.raises(InputError, match="neither moved nor changed"):
            store.hold_outs.lock(FAMILY, *other)
    assert store.hold_outs.in_force(FAMILY) == held
    assert store.hold_outs.in_force("desk:BBB/USD") is None
    with pytest.raises(NotStoredError, match="locks one"):
        get(store.hold_outs.of("desk:BBB/USD"), "desk:BBB/USD")


def test_no_search_that_reaches_into_it_is_counted(store: Store) -> None:
    store.count(entry("before", (0, START - 1)))
    store.hold_outs.lock(FAMILY, START, 3, 0.05)
    for key, period in (("a", (0, START)), ("b", (START + DAY, START + DAY)), ("c", None)):
        with pytest.raises(StoreError, match="reaches into its hold-out, which begins at 1970-04-11"):
            store.count(entry(key, period))
    assert store.count(entry("d", (0, START - 1)), entry("e", (0, START), "desk:BBB/USD")) == 2


@pytest.mark.parametrize("period", [(0, START), (START + 5 * DAY, START + 6 * DAY), None])
def test_what_was_searched_is_no_hold_out(store: Store, period: tuple[int, int] | None) -> None:
    store.count(entry("a", period))
    with pytest.raises(InputError, match="locked before anything is searched on it, but 1 searches"):
        store.hold_outs.lock(FAMILY, START, 3, 0.05)


def test_looks_are_counted_before_they_are_answered_and_run_out(
    store: Store, sql: psycopg.Connection
) -> None:
    held = store.hold_outs.lock(FAMILY, START, 2, 0.05)
    first = store.hold_outs.count_look(held, "a" * 64, START + DAY, "a")
    assert first.answer is None
    assert get(store.hold_outs.of(FAMILY), FAMILY).used == 1
    assert store.hold_outs.count_look(held, "a" * 64, START + 9 * DAY, "again") == first
    assert store.hold_outs.answer_look(first, {"p": 0.5}) == {"p": 0.5}
    assert store.hold_outs.answer_look(first, {"p": 0.001}) == {"p": 0.5}  # the first answer stands
    store.hold_outs.count_look(held, "b" * 64, START + DAY, "b")
    with pytest.raises(StoreError, match="all 2 looks at the hold-out of desk:AAA/USD are used"):
        store.hold_outs.count_look(held, "c" * 64, START + DAY, "c")
    found = store.hold_outs.find_look(FAMILY, "a" * 64)
    assert found is not None
    assert found.answer == {"p": 0.5}
    assert sql.execute("select count(*) from hold_out_touch").fetchone() == (2,)


def test_many_at_once_get_no_look_more(store: Store) -> None:
    held = store.hold_outs.lock(FAMILY, START, 3, 0.05)

    def ask(number: int) -> bool:
        try:
            store.hold_outs.count_look(held, f"{number:064x}", START, "x")
        except StoreError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(16))) == 3


def test_a_search_and_a_lock_at_once_never_both_succeed(store: Store) -> None:
    def search(number: int) -> bool:
        try:
            return store.count(entry(f"s{number}", (0, START + DAY), f"desk:{number}")) == 1
        except StoreError:
            return False

    def lock(number: int) -> bool:
        try:
            store.hold_outs.lock(f"desk:{number}", START, 3, 0.05)
        except InputError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        searched = [pool.submit(search, n) for n in range(20)]
        locked = [pool.submit(lock, n) for n in range(20)]
        done = [(s.result(), k.result()) for s, k in zip(searched, locked, strict=True)]
    assert all(one != other for one, other in done)


@pytest.mark.parametrize("kind", ["spend", "release"])
def test_an_ended_one_answers_nothing_and_later_bars_may_be_locked(
    store: Store, sql: psycopg.Connection, kind: str
) -> None:
    held = store.hold_outs.lock(FAMILY, START, 3, 0.05)
    sql.execute("insert into series (exchange, symbol, timeframe) values ('desk', 'AAA/USD', '1d')")
    sql.execute("insert into candle select id, %s, 1, 1, 1, 1, 1 from series", [START + 7 * DAY])
    store.hold_outs.end(held, kind, "why", "somebody")  # type: ignore[arg-type]
    ended = get(store.hold_outs.of(FAMILY), FAMILY)
    assert (ended.ended, ended.ended_by, ended.reason, ended.touches) == (kind, "somebody", "why", 1)
    with pytest.raises(StoreError, match="has ended"):
        store.hold_outs.count_look(held, "a" * 64, START, "a")
    with pytest.raises(StoreError, match="has ended"):
        store.hold_outs.end(held, "release", "again", "somebody")
    with pytest.raises(StoreError, match="bars up to 1970-04-18 00:00 were seen"):
        store.hold_outs.lock(FAMILY, START + 7 * DAY, 3, 0.05)
    assert store.count(entry("free", (0, START + DAY))) == 1
    assert store.hold_outs.lock(FAMILY, START + 8 * DAY, 1, 0.05).used == 0
    assert [one.ended for one in store.hold_outs.listed()] == [kind, None]


HOSTILE = (
    "update hold_out set looks = 99",
    "update hold_out set start_ms = start_ms + 86400000",
    "delete from hold_out",
    "truncate hold_out cascade",
    "delete from hold_out_touch",
    "truncate hold_out_touch",
    "update hold_out_touch set answer = '{\"p\": 0}'",
    "update hold_out_touch set answer = null",
    "update hold_out_touch set candidate = repeat('c', 64)",
    "insert into hold_out (family, start_ms, looks, alpha) values ('desk:AAA/USD', 86400000, 9, 0.05)",
    "insert into hold_out (family, start_ms, looks, alpha) values ('desk:BBB/USD', 5, 9, 0.05)",
    "insert into hold_out (family, start_ms, looks, alpha) values ('desk:BBB/USD', 0, 0, 0.05)",
    "insert into hold_out_touch (hold_out, kind, candidate, last_ms, reason) select number, 'look', "
    "repeat('d', 64), 0, 'x' from hold_out",
    "insert into hold_out_touch (hold_out, kind, last_ms, reason) "
    "select number, 'release', 0, 'x' from hold_out",
    "set session_replication_role = replica; delete from hold_out_touch",
    "insert into trial_ledger (key, fingerprint, family, strategy, kind, cells) values "
    "('k', 'f', 'desk:AAA/USD', 's', 'grid', 1)",
)


@pytest.mark.parametrize("statement", HOSTILE)
def test_the_database_refuses_what_would_loosen_it(
    store: Store, sql: psycopg.Connection, statement: str
) -> None:
    held = store.hold_outs.lock(FAMILY, START, 1, 0.05)
    touch = store.hold_outs.count_look(held, "a" * 64, START, "a")
    store.hold_outs.answer_look(touch, {"p": 0.5})
    with pytest.raises(psycopg.Error):
        sql.execute(statement.encode())
    assert store.hold_outs.looks(held) == [(touch.number, START, {"p": 0.5})]
    assert store.hold_outs.in_force(FAMILY) == held._replace(used=1)


def test_answers_are_null_until_they_are_written(store: Store, sql: psycopg.Connection) -> None:
    held = store.hold_outs.lock(FAMILY, START, 2, 0.05)
    sql.execute(
        "insert into hold_out_touch (hold_out, kind, candidate, last_ms, reason, answer) "
        "values (%s, 'look', repeat('a', 64), 0, 'x', '{\"p\": 0}')",
        [held.number],
    )
    assert [touch.answer for touch in store.hold_outs.looks(held)] == [None]
