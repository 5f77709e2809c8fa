"""A job watched from another place: what is seen is what the search found, whenever one looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

import quantlab as ql
from quantlab.errors import NotStoredError, StoreUnavailableError
from quantlab.explore.live import LiveView, Look, traits
from quantlab.lab import Lab
from quantlab.lab.nulls import drawn_by
from quantlab.lab.watching import JobWatch
from quantlab.lab.work import perform
from quantlab.market.candles import Candles
from quantlab.search.run import search
from quantlab.settings import Settings
from quantlab.validation import rerun
from quantlab.validation.rerun import Rerun

SEARCH = {"sampler": "random", "trials": 120, "batch": 20, "seed": 4, "min_trades": 5}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(Settings(home=tmp_path_factory.mktemp("watched home"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def candles(lab: Lab) -> Candles:
    lab.put_candles(ql.sample_candles()[:2_000])
    return lab.candles("coinbase", "BTC/USD", "1h")


@pytest.mark.parametrize("named", [{}, {"name": "watched by its name"}])
def test_the_best_so_far_is_that_of_the_search_at_every_look(
    lab: Lab, candles: Candles, named: dict[str, str]
) -> None:
    job = lab.submit("sma_cross", candles, **SEARCH, **named)
    truth = search("sma_cross", candles, progress=False, **SEARCH).convergence
    watched, looks = JobWatch(lab.store, job), []
    first = watched()
    assert (first.status, first.ended, first.metric, first.best.size) == (
        "waiting for a worker",
        False,
        "sharpe",
        0,
    )
    save = lab.store.save_chunk

    def look_after(key: str, index: int, data: bytes) -> None:
        save(key, index, data)
        if index:
            looks.append(watched())

    lab.store.save_chunk = look_after  # type: ignore[method-assign]
    try:
        perform(lab, job.row, lambda share, stage: None)
    finally:
        lab.store.save_chunk = save  # type: ignore[method-assign]
    assert [look.best.size for look in looks] == [20, 40, 60, 80, 100, 120]
    for look in looks:
        np.testing.assert_array_equal(look.best, truth[: look.best.size])


def test_who_looks_after_the_end_sees_the_same(lab: Lab, candles: Candles) -> None:
    how = {**SEARCH, "seed": 5}
    job = lab.submit("sma_cross", candles, **how)
    assert lab.work() >= 1
    look = JobWatch(lab.store, job)()
    assert (look.status, look.ended, look.progress) == ("done", True, 100.0)
    np.testing.assert_array_equal(look.best, search("sma_cross", candles, progress=False, **how).convergence)


@pytest.mark.slow
def test_the_nulls_of_the_verdict_are_shown(lab: Lab, candles: Candles) -> None:
    lab.put_candles(ql.resample(ql.sample_candles(), "4h"))
    longer = lab.candles("coinbase", "BTC/USD", "4h")
    job = lab.submit("sma_cross", longer, {"fast": [5, 10], "slow": [50, 100]}, validate=True)
    lab.work()
    look, nulls = JobWatch(lab.store, job)(), job.verdict().evidence.nulls
    assert isinstance(nulls, Rerun)
    assert look.status in ("approved by the gate", "refused by the gate")
    assert look.told.splitlines()[0] == job.verdict().reasons[0]
    assert {name: len(scores) for name, scores in look.nulls.items()} == {
        n.word: len(n.scores) for n in nulls.nulls if len(n.scores)
    }
    assert set(look.nulls) <= {"mirrored", "shuffled"}
    assert look.real == nulls.real


@pytest.mark.slow
def test_the_nulls_fill_up_while_the_gate_is_at_work_and_a_new_page_shows_the_same(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerun, "_TOLD_SECONDS", 0.0)
    lab.put_candles(ql.resample(ql.sample_candles(), "4h"))
    longer = lab.candles("coinbase", "BTC/USD", "4h")
    grid = {"fast": [6, 12], "slow": [60, 90]}
    job = lab.submit("sma_cross", longer, grid, validate=True)
    watched, save, looks = JobWatch(lab.store, job), lab.store.save_chunk, []
    others: list[Look] = []

    def look_after(key: str, index: int, data: bytes) -> None:
        save(key, index, data)
        if key.startswith("nulls of "):
            looks.append(watched())
            others.append(JobWatch(lab.store, job)())  # a page that was opened just now

    monkeypatch.setattr(lab.store, "save_chunk", look_after)
    perform(lab, job.row, lambda share, stage: None)
    drawn = [sum(map(len, look.nulls.values())) for look in looks]
    assert drawn == sorted(drawn)
    assert 0 < drawn[0] < drawn[-1]
    assert len(set(drawn)) > 3
    verdict = lab.validate(
        lab.sweep("sma_cross", longer, {"fast": [6, 12], "slow": [60, 90]}, progress=False)
    )
    nulls = verdict.evidence.nulls
    assert nulls is not None
    assert {look.real for look in looks} == {nulls.real}
    assert drawn[-1] == sum(len(n.scores) for n in nulls.nulls)
    for look, other in zip(looks, others, strict=True):
        for null in nulls.nulls:
            scores = look.nulls.get(null.word, np.zeros(0))
            np.testing.assert_array_equal(scores, null.scores[: len(scores)])
            np.testing.assert_array_equal(other.nulls.get(null.word, np.zeros(0)), scores)
    assert drawn_by(lab.store, job.id) is None


def test_a_view_looks_until_the_end_and_says_what_went_wrong() -> None:
    seen = iter(
        [
            Look("a", "running", "", 10.0, False),
            StoreUnavailableError("the database is away"),
            Look("a", "running", "", 50.0, False, metric="sharpe", best=np.array([np.nan, 1.5])),
            Look("a", "done", "", 100.0, True, "good"),
        ]
    )
    told: list[str] = []

    def look() -> Look:
        found = next(seen)
        if isinstance(found, Exception):
            raise found
        return found

    view = LiveView(look, poll_s=0.01)
    view.observe(lambda change: told.append(change["new"]["told"]), "state")
    deadline = time.monotonic() + 20
    while view.state["status"] != "done" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert view.state == {"title": "a", "status": "done", "told": "", "progress": 100.0, "kind": "good"}
    assert "the database is away Trying again." in told
    assert repr(view) == "LiveView(a)"


def test_a_closed_view_stops_looking() -> None:
    view = LiveView(lambda: Look("a", "running", "", 10.0, False), poll_s=0.01)
    thread = view._thread
    view.close()
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert threading.active_count() >= 1


def test_arrays_travel_as_binary_numbers_and_nothing_where_nothing_is() -> None:
    empty = traits(Look("a", "running", "", 0.0, False))
    assert (empty["curve"], empty["nulls"]) == ({}, {})
    full = traits(
        Look("a", "", "", 0.0, False, "", "sharpe", np.array([1.0]), 2.5, {"mirrored": np.array([0.5, -1])})
    )
    assert np.frombuffer(full["nulls"]["kinds"][0]["scores"], "<f4").tolist() == [0.5, -1.0]
    assert full["nulls"]["real"] == 2.5


def test_an_unknown_job_is_named(lab: Lab) -> None:
    with pytest.raises(NotStoredError):
        lab.watch("00000000")
