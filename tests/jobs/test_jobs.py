"""Jobs: real workers on a real PostgreSQL, killed, paused, cancelled; nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
from job_helpers import HERE, check, finished, market, submitted, until, worker

from quantlab.errors import JobError, LeaseLostError
from quantlab.lab import Lab
from quantlab.lab.work import perform


@pytest.mark.parametrize("what", ["sweep", "search"])
def test_a_job_comes_to_what_the_lab_comes_to(lab: Lab, truth: Any, what: str) -> None:
    candles = market(lab, 1 if what == "sweep" else 2)
    job = submitted(lab, candles, what)
    assert "queued" in repr(job)
    said = finished(worker(lab))
    assert f"job {job.id[:8]} slow_average" in said
    check(lab, job, candles, truth(candles, what))
    row = job.row
    assert row.submitted_at <= row.started_at <= row.completed_at  # type: ignore[operator]
    assert (row.attempt, row.progress, row.current_stage) == (1, 100.0, "done")
    chosen = job.result()["chosen"]
    assert chosen["params"].keys() == {"window", "distance", "max_holding"}
    again = job.surface()
    shown = again.metrics["trades"][np.isfinite(again.metrics["trades"])]
    assert chosen["metrics"]["trades"] in shown


@pytest.mark.parametrize(("what", "seed"), [("sweep", 11), ("sweep", 12), ("search", 13), ("search", 14)])
def test_killed_at_random_moments_and_resumed(lab: Lab, truth: Any, what: str, seed: int) -> None:
    candles, draw = market(lab, seed), random.Random(seed)
    expected, job = truth(candles, what), submitted(lab, candles, what)
    kept: list[int] = []

    def parts() -> int:
        with lab.store._connections.transaction() as connection:
            found = connection.execute("select count(*) from sweep_checkpoint").fetchone()
            return int(found[0]) if found else 0

    for least in (0, draw.randint(2, 4)):
        process = worker(lab, slow_s=0.2, lease_s=1.0)
        until(lambda: job.status == "running" and job.row.worker.split(":")[1] == str(process.pid))  # noqa: B023
        until(lambda: parts() >= least)  # noqa: B023
        time.sleep(draw.uniform(0.0, 0.5))
        process.kill()
        process.communicate()
        kept.append(parts())
    assert kept == sorted(kept), "what was finished is never lost"
    assert kept[-1] >= 2, "the second one was killed in the middle"
    finished(worker(lab, lease_s=1.0))
    check(lab, job, candles, expected)
    assert job.row.attempt == 3


def test_several_workers_share_the_queue_and_double_nothing(lab: Lab) -> None:
    jobs = [submitted(lab, market(lab, 20 + i, bars=600), "sweep") for i in range(6)]
    workers = [worker(lab, slow_s=0.01, lease_s=20.0) for _ in range(3)]
    said = [finished(one) for one in workers]
    for job in jobs:
        assert job.row.attempt == 1
        assert sum(text.count(f"job {job.id[:8]} ") for text in said) == 2  # taken and completed, by one
    lines = "".join(said).splitlines()
    assert sum("completed" in line for line in lines) == len(jobs)


def test_a_paused_worker_that_wakes_up_late_writes_nothing(lab: Lab, truth: Any) -> None:
    candles = market(lab, 30)
    job = submitted(lab, candles, "sweep")
    first = worker(lab, slow_s=0.1, lease_s=1.0)
    until(lambda: job.progress > 0)
    first.send_signal(signal.SIGSTOP)
    try:
        time.sleep(1.2)
        second = worker(lab, lease_s=20.0)
        until(lambda: job.row.attempt == 2)
        finished(second)
    finally:
        first.send_signal(signal.SIGCONT)
    row = job.row
    said = finished(first)
    assert "was leased as attempt 1 and is" in said
    assert "nothing was written under it" in said
    assert job.row == row
    check(lab, job, candles, truth(candles, "sweep"))


def test_the_database_refuses_whoever_lost_the_lease(lab: Lab) -> None:
    candles = market(lab, 31)
    job = submitted(lab, candles, "sweep")
    queue = lab.store.jobs
    old = queue.lease("slow:1:aa", 0.5)
    assert old is not None
    assert old.id == job.id
    stale = lab.store.fenced(old.id, old.attempt)
    stale.save_chunk("k", 0, b"while it is held")
    assert queue.lease("other:2:bb", 60.0) is None  # not yet
    time.sleep(0.6)
    new = queue.lease("other:2:bb", 60.0)
    assert new is not None
    assert (new.id, new.attempt) == (old.id, 2)
    with pytest.raises(LeaseLostError, match=r"as attempt 1 and is held by other:2:bb as attempt 2"):
        stale.save_chunk("k", 0, b"too late")
    with pytest.raises(LeaseLostError):
        stale.put_surface("ab" * 32, {}, {}, (1,))
    with pytest.raises(LeaseLostError):
        queue.beat(old.id, old.attempt, 1.0, 50.0, "sweep")
    for status in ("completed", "failed", "queued"):
        with pytest.raises(LeaseLostError):
            queue.finish(old.id, old.attempt, status)
    row = {"where": dict.fromkeys(("strategy_name", "exchange", "symbol", "timeframe"), "1h")}
    row |= {"parameters": {}, "metrics": {}, "key": "lost", "cells": 1}
    with pytest.raises(LeaseLostError):
        queue.complete(old.id, old.attempt, {}, row)
    with pytest.raises(LeaseLostError):
        perform(Lab(lab.settings, stale), old, lambda *_: None)
    assert lab.store.load_chunk("k", 0) == b"while it is held"
    assert not lab.store.has_surface("ab" * 32)
    lab.store.drop_chunks("k")
    queue.finish(new.id, new.attempt, "cancelled")
    assert lab.ledger(candles).trials == 0


def test_two_workers_never_hold_one_job(lab: Lab) -> None:
    jobs = [submitted(lab, market(lab, 40, bars=300), "sweep") for _ in range(20)]
    held: list[str] = []

    def take(name: str) -> None:
        while (row := lab.store.jobs.lease(name, 60.0)) is not None:
            held.append(row.id)
            lab.store.jobs.finish(row.id, row.attempt, "cancelled")

    threads = [threading.Thread(target=take, args=(f"w:{i}:x",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held) == sorted(job.id for job in jobs)


@pytest.mark.parametrize("what", ["sweep", "search"])
def test_a_running_job_is_cancelled_and_its_worker_goes_on(lab: Lab, what: str) -> None:
    job = submitted(lab, market(lab, 50 if what == "sweep" else 51), what)
    other = submitted(lab, market(lab, 52, bars=400), "sweep")
    process = worker(lab, slow_s=0.1)
    until(lambda: job.progress > 0)
    assert job.cancel() == "running"
    asked = time.monotonic()
    until(lambda: job.status == "cancelled", 10.0)
    assert time.monotonic() - asked < 5.0
    finished(process)
    assert other.status == "completed"
    with pytest.raises(JobError, match="is cancelled already: there is nothing to cancel"):
        job.cancel()
    with pytest.raises(JobError, match="is cancelled: it has no result"):
        job.result()
    with lab.store._connections.transaction() as connection:
        connection.execute("delete from sweep_checkpoint")


def test_sigterm_puts_the_job_back(lab: Lab, truth: Any) -> None:
    candles = market(lab, 53)
    job = submitted(lab, candles, "sweep")
    path = os.pathsep.join([str(HERE), *sys.path])
    environment = dict(os.environ) | {"PYTHONPATH": path, "SLOW_S": "0.3"}
    environment |= {"QUANTLAB_HOME": str(lab.settings.home)}
    command = [sys.executable, "-m", "quantlab.cli", "worker"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: job.status == "running")
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert (job.status, job.row.current_stage) == ("queued", "interrupted, waiting")
    assert lab.work(say=lambda _: None) == 1
    check(lab, job, candles, truth(candles, "sweep"))


def test_changed_candles_and_changed_code_are_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    candles = market(lab, 60, bars=400)
    job = submitted(lab, candles, "sweep")
    frame = candles.to_frame().reset_index()
    frame.loc[17, "volume"] += 1.0
    lab.put_candles(frame, candles.exchange, candles.symbol, "4h")
    lab.work(say=lambda _: None)
    with pytest.raises(JobError, match=r"candles of .* that are stored .* are not those of the job"):
        job.result()
    assert lab.ledger(candles).trials == 0
    with pytest.raises(JobError, match=r"store these with lab\.put_candles"):
        submitted(lab, candles, "sweep")

    job = submitted(lab, market(lab, 61, bars=400), "sweep")
    spec = job.row.spec
    name = "the code of slow_average"
    assert spec["decides"].keys() == {name, "the space of slow_average", "the engine"}
    monkeypatch.setattr("quantlab.lab.spec.engine_hash", lambda: "0" * 64)
    lab.work(say=lambda _: None)
    with pytest.raises(
        JobError, match=r"the engine changed since the job was submitted .* 000000000000 here"
    ):
        job.result()


def test_a_job_that_ends_its_workers_is_given_up(lab: Lab) -> None:
    job = submitted(lab, market(lab, 62, bars=300), "sweep")
    for attempt in range(1, 6):
        row = lab.store.jobs.lease(f"dies:{attempt}:x", 0.01)
        assert row is not None
        assert row.attempt == attempt
        time.sleep(0.03)
    assert lab.store.jobs.lease("next:6:x", 1.0) is None
    assert job.status == "failed"
    assert "ended or fell silent 5 times, last dies:5:x" in job.row.error_message
