"""Two worker processes for the tests of a module."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import cluster_strategies as ours
import dask
import distributed
import pytest
from cluster_helpers import CROSSES, swept


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[distributed.LocalCluster]:
    """Two workers that inherit the folder of calls, the tests' modules and a folder for more of them."""
    swept("sma_cross", CROSSES)  # so that kernels are compiled once, not by every process
    patch = pytest.MonkeyPatch()
    patch.setenv(ours.CALLS, str(tmp_path_factory.mktemp("calls")))
    patch.setenv(ours.CLIENT, str(os.getpid()))
    patch.setenv("QUANTLAB_TEST_MODULES", str(tmp_path_factory.mktemp("modules")))
    patch.syspath_prepend(os.environ["QUANTLAB_TEST_MODULES"])
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        found = distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            local_directory=str(tmp_path_factory.mktemp("dask")),
            silence_logs=logging.CRITICAL,
        )
    with found:
        yield found
    patch.undo()


@pytest.fixture
def client(workers: distributed.LocalCluster) -> Iterator[distributed.Client]:
    ours.forget_calls()
    with distributed.Client(workers, set_as_default=False) as client:
        try:
            client.wait_for_workers(2, timeout=10)
        except TimeoutError:
            workers.scale(0)
            workers.scale(2)
            client.wait_for_workers(2, timeout=60)
        yield client
