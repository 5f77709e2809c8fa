"""Surfaces, the ledger, checkpoints, verdicts."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantlab.errors import InputError, NotStoredError, StoreError
from quantlab.settings import Settings
from quantlab.store import arrow, open_store
from quantlab.store.store import Store
from quantlab.store.trials import Entry

KEY = "ab" * 32
META = {
    "strategy": "sma_cross",
    "identity": {"exchange": "coinbase", "symbol": "BTC/USD", "timeframe": "1h", "fingerprint": "cd" * 32},
    "axes": {"slow": [20, 50], "fast": [5, 8, 13]},
    "none": None,
}


def metrics(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    values = rng.normal(size=shape)
    values.flat[1] = np.nan
    return {"sharpe": values, "trades": rng.integers(0, 99, shape).astype(float)}


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=5, max_side=6), elements=st.floats(width=64)))
def test_arrays_survive_packing_bit_for_bit(values: np.ndarray) -> None:
    back = arrow.unpack(arrow.pack(values), values.shape)
    assert back.tobytes() == values.tobytes()
    assert not back.flags.writeable


def test_packing_takes_any_layout_and_is_compressed() -> None:
    values = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    assert (arrow.unpack(arrow.pack(values), (3, 4)) == values).all()
    assert len(arrow.pack(np.zeros(100_000))) < 10_000


def test_a_surface_comes_back_once_however_often_it_is_stored(store: Store, sql: psycopg.Connection) -> None:
    given_metrics = metrics((2, 3))
    assert not store.has_surface(KEY)
    for _ in range(2):
        store.put_surface(KEY, META, given_metrics, (2, 3))
    assert store.has_surface(KEY)
    meta, back = store.get_surface(KEY)
    assert meta == META
    assert list(meta["axes"]) == ["slow", "fast"]
    assert list(back) == ["sharpe", "trades"]
    for name, values in given_metrics.items():
        np.testing.assert_array_equal(back[name], values)
    row = sql.execute(
        "select strategy, exchange, symbol, timeframe, fingerprint, cells from surface"
    ).fetchall()
    assert row == [("sma_cross", "coinbase", "BTC/USD", "1h", "cd" * 32, 6)]


def test_surfaces_that_cannot_be_are_refused(store: Store, sql: psycopg.Connection) -> None:
    with pytest.raises(NotStoredError, match="no surface"):
        store.get_surface(KEY)
    with pytest.raises(InputError, match=r"'sharpe' must have the shape \(3, 2\)"):
        store.put_surface(KEY, META, metrics((2, 3)), (3, 2))
    with pytest.raises(InputError, match="JSON"):
        store.put_surface(KEY, {"x": float("nan")}, metrics((2, 3)), (2, 3))
    with pytest.raises(StoreError, match="surface_key_check"):
        store.put_surface("short", META, metrics((2, 3)), (2, 3))
    assert sql.execute("select count(*) from surface").fetchone() == (0,)


def test_two_who_store_the_same_surface_at_once_agree(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: store.put_surface(KEY, META, metrics((2, 3)), (2, 3)), range(4)))
    assert list(store.get_surface(KEY)[1]) == ["sharpe", "trades"]


def test_the_ledger_counts_every_search_once(store: Store) -> None:
    family = "coinbase:BTC/USD"
    assert (store.searches(family), store.trials_ever(family)) == (0, 0)
    assert store.count(Entry("k1", "f1", family, "sma_cross", 200_000, "grid")) == 1
    assert store.count(Entry("k1", "f1", family, "sma_cross", 200_000, "grid")) == 0
    assert store.count(Entry("k2", "f2", family, "sma_cross", 3_000_000_000, "grid")) == 1
    assert store.count(Entry("k3", "f3", "coinbase:ETH/USD", "sma_cross", 7, "tpe")) == 1
    assert (store.searches(family), store.trials_ever(family)) == (2, 3_000_200_000)
    with pytest.raises(StoreError):
        store.count(Entry("k4", "f1", family, "sma_cross", 0, "grid"))


def test_a_checkpoint_survives_the_death_of_the_process(store: Store, dsn: str, tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from quantlab.settings import Settings
from quantlab.store import open_store
store = open_store(Settings(Path({str(tmp_path)!r}), {dsn!r}))
for part in range(3):
    store.save_chunk("sweep", part, bytes([part]) * 1000)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False, env=dict(os.environ))
    assert store.load_chunks("sweep") == {part: bytes([part]) * 1000 for part in range(3)}
    store.save_chunk("sweep", 1, b"new")
    store.save_chunk("other", 0, b"")
    assert store.load_chunks("sweep")[1] == b"new"
    store.drop_chunks("sweep")
    assert (store.load_chunks("sweep"), store.load_chunks("other")) == ({}, {0: b""})


def test_a_verdict_comes_back_as_it_was(store: Store) -> None:
    document = {"approved": False, "reasons": ["z", "a"], "tests": [{"value": None, "p": 1e-300, "ü": 0.1}]}
    store.put_verdict("v", KEY, document)
    assert store.get_verdict("v") == document
    assert list(store.get_verdict("v")) == ["approved", "reasons", "tests"]
    store.put_verdict("v", KEY, {"approved": True})
    assert store.get_verdict("v") == {"approved": True}
    with pytest.raises(NotStoredError, match="no verdict w"):
        store.get_verdict("w")
    with pytest.raises(InputError, match="plain JSON"):
        store.put_verdict("v", KEY, {"value": float("inf")})


def test_what_one_store_wrote_another_reads(store: Store, dsn: str, tmp_path: Path) -> None:
    store.put_surface(KEY, META, metrics((2, 3)), (2, 3))
    with open_store(Settings(tmp_path, dsn)) as other:
        assert other.get_surface(KEY)[0] == META
