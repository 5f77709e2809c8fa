"""Workers of a Dask cluster that die, and interrupts: what is done is kept, no part is blamed wrongly."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import cluster_strategies as ours
import distributed
import numpy as np
import pytest
from cluster_helpers import CROSSES, GRID, HOURS, SWEEP, Kept, operated, parts, pids, same, swept, wait_for

from quantlab.backtest import cluster as cluster_module
from quantlab.backtest import remote
from quantlab.backtest import sweep as sweep_module
from quantlab.backtest.cluster import Workers
from quantlab.backtest.execution import Execution
from quantlab.backtest.local import Job
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.parts import DEFAULT_BUDGET, plan
from quantlab.backtest.sweep import part_number
from quantlab.errors import ClusterError, UnknownNameError
from quantlab.signals import find_strategy

pytestmark = pytest.mark.slow


def test_no_more_parts_are_in_flight_than_two_per_thread(client: distributed.Client) -> None:
    taken = 0

    def counting() -> Iterator[Any]:
        nonlocal taken
        for part in parts(HOURS, 64):
            taken += 1
            yield part

    found = 0
    for _ in Workers(client).run_markets([(Job(SWEEP, HOURS, Execution()), counting())], lambda _: None):
        assert taken - found <= 2 * 2
        found += 1
    assert found == taken > 50


@pytest.mark.parametrize("victims", [1, 2], ids=["one worker", "all workers"])
def test_a_killed_worker_costs_no_more_than_it_held(client: distributed.Client, victims: int) -> None:
    kept, killed = Kept(), pids(client)[:victims]

    def kill() -> None:
        wait_for(lambda: all(sum(c.pid == pid for c in ours.calls()) >= 2 for pid in killed))
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with operated(client.cluster):
        there = swept("slow", cluster=client, checkpoint=kept)
    killer.join()
    times = Counter(call.cells for call in ours.calls())
    twice = {cells for cells, n in times.items() if n > 1}
    assert len(times) == len(kept.saved) == len(kept.parts) == 8
    assert max(times.values()) == 2
    unfinished = {call.cells for call in ours.calls() if call.pid in killed and not call.ended}
    assert 1 <= len(unfinished) <= victims
    # beside the part that a worker was at, its last one may not have been fetched yet
    assert unfinished <= twice <= {call.cells for call in ours.calls() if call.pid in killed}
    assert len(twice) <= 2 * victims
    assert same(there, swept("slow"))


def test_a_part_that_kills_workers_is_named_and_the_others_are_kept(client: distributed.Client) -> None:
    kept = Kept()
    with operated(client.cluster), pytest.raises(ClusterError) as caught:
        swept("killing", cluster=client, checkpoint=kept)
    message = str(caught.value)
    assert "workers died again and again under one part of killing, even while it was alone: " in message
    assert '"window": [7]' in message
    found = find_strategy("killing")
    others = [
        part_number(p)
        for p, part in plan(found, HOURS, found.grid(), DEFAULT_BUDGET, least=8)
        if 7 not in part.axes["window"]
    ]
    assert len(others) == 7
    assert sorted(kept.parts) == sorted(others)
    assert [call.cells for call in ours.calls()][-1] == "7-10"


@pytest.mark.parametrize("deaths", [1, 4])
def test_no_part_is_blamed_for_its_neighbour(monkeypatch: pytest.MonkeyPatch, deaths: int) -> None:
    """While the culprit is in flight, workers take whatever is beside it with them."""
    (_, culprit), *_ = cut = list(parts(HOURS, 16))

    class Flight:
        def __init__(self, _: Any) -> None:
            self.tasks: list[Any] = []
            self.doomed: list[Any] = []

        def __enter__(self) -> Flight:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __len__(self) -> int:
            return len(self.tasks)

        def send(self, task: Any) -> None:
            self.tasks.append(task)

        def land(self) -> tuple[Any, np.ndarray | None, int]:
            if any(task.cells is culprit for task in self.tasks):
                self.doomed += self.tasks
            task = self.tasks.pop(0)
            if any(task is other for other in self.doomed):
                return task, None, deaths
            return task, np.zeros((len(METRICS), task.cells.size)), 0

    monkeypatch.setattr(cluster_module, "_Flight", Flight)
    monkeypatch.setattr(Workers, "threads", lambda _: 2)
    workers = Workers.__new__(Workers)
    workers._client = None
    found: list[Any] = []
    finished = workers.run_markets([(Job(SWEEP, HOURS, Execution()), cut)], lambda _: None)
    with pytest.raises(ClusterError, match="one part of liquidity_sweep, even while it was alone") as caught:
        found.extend(place for _, place, _, _ in finished)
    assert json.dumps(culprit.to_json())[:400] in str(caught.value)
    assert sorted(map(part_number, found)) == sorted(part_number(place) for place, _ in cut[1:])


def test_an_interrupt_waits_for_no_part_and_keeps_what_is_done(client: distributed.Client) -> None:
    kept, sent = Kept(), []

    def interrupt() -> None:
        wait_for(lambda: len(kept.saved) >= 2)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        swept("slow", cluster=client, checkpoint=kept)
    took, begun = time.monotonic() - sent[0], ours.calls()
    interrupter.join()
    print("seconds from Ctrl-C to the end of the sweep:", took)
    assert took < ours.SLOW_S
    assert not all(call.ended for call in begun)
    assert 2 <= len(kept.saved) < 8
    wait_for(lambda: all(call.ended for call in ours.calls()))
    time.sleep(2 * ours.SLOW_S)
    assert len(ours.calls()) == len(begun)
    before = set(kept.parts)
    kept.saved.clear()
    resumed = swept("slow", cluster=client, checkpoint=kept)
    assert sorted(kept.saved) == sorted(set(kept.parts) - before)
    assert len(kept.parts) == 8
    assert same(resumed, swept("slow"))


def test_a_worker_leaves_a_part_that_nobody_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    parcel = remote.Parcel.of(Job(SWEEP, HOURS, Execution()))
    task = SimpleNamespace(state="executing")
    state = SimpleNamespace(tasks={"part": task}, nthreads=1)
    worker = SimpleNamespace(address="tcp://here", state=state, get_current_task=lambda: "part")
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    whole = swept(SWEEP, GRID)
    assert remote.compute(parcel, GRID).tobytes() == np.stack([whole[n] for n in METRICS]).tobytes()
    task.state = "cancelled"
    with pytest.raises(distributed.Reschedule):
        remote.compute(parcel, GRID)


def test_progress_counts_every_cell_once(client: distributed.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []

    class Bar:
        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, cells: int) -> None:
            counted.append(cells)

    monkeypatch.setattr(sweep_module, "_Bar", lambda *_: Bar())
    swept("sma_cross", CROSSES, cluster=client)
    assert sum(counted) == CROSSES.size
    assert len(counted) >= 8


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("failing", ZeroDivisionError, "a window of seven"),
        ("mistyped", UnknownNameError, "did you mean 'window'"),
    ],
)
def test_an_error_comes_back_with_the_part_that_raised_it(
    client: distributed.Client, name: str, error: type[Exception], words: str
) -> None:
    kept = Kept()
    with pytest.raises(error, match=words) as caught:
        swept(name, cluster=client, checkpoint=kept)
    (note,) = caught.value.__notes__
    assert f"while sweeping a part of {name}" in note
    if name == "failing":
        assert '"window": [7]' in note


def test_a_sweep_whose_workers_are_gone_for_good_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "_WORKERS_S", 3)
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as one:
        kept = Kept()

        def leave() -> None:
            wait_for(lambda: len(kept.saved) >= 1)
            one.scale(0)

        leaver = threading.Thread(target=leave)
        leaver.start()
        with pytest.raises(
            ClusterError, match=r"no workers for 3 s.* Parts that were finished are in the checkpoint"
        ):
            swept("slow", cluster=one, checkpoint=kept)
        leaver.join()
        assert 1 <= len(kept.saved) < 8
