from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from quantlab.errors import InputError, UnknownNameError
from quantlab.market.synthetic import garch
from quantlab.signals import REGISTRY, AllOf, Signals, Strategy, all_of, find_strategy, strategy
from quantlab.space import Int, Params, Space

SPACE = Space(Int("wait", 1, 9, 3, "bars", "warm-up", "entry"), Int("hold", 1, 9, 2, "bars", "", "exit"))


def always(candles: Any, p: Params) -> Signals:
    everywhere = np.ones(candles.close.size, bool)
    return Signals(long=everywhere, short=all_of(everywhere, candles.close > 0), max_holding=p.hold)


def made(function: Any = always) -> Strategy:
    return Strategy("made", SPACE, function, lambda p: p["wait"])


@pytest.fixture
def registered():
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


def test_all_of_is_the_conjunction_of_its_clauses() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.random((3, 1, 20)) < 0.7, rng.random((4, 20)) < 0.7, rng.random(20) < 0.7
    assert np.array_equal(all_of(a, b, c).to_array(), a & b & c)
    assert all_of(a, b, c).to_array().shape == (3, 4, 20)
    assert np.array_equal(all_of(c).to_array(), c)


def test_all_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least one clause"):
        all_of()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"partial_target": np.ones(9)}, "go together, got `partial_target` alone"),
        ({"partial_fraction": np.array([0.5])}, "go together, got `partial_fraction` alone"),
        ({"partial_target": np.ones(9), "partial_fraction": np.full(9, 0.5)}, "must not change over time"),
        (
            {"partial_target": np.ones(9), "partial_fraction": np.array([[0.5], [1.0]])},
            r"in \(0, 1\), got 0.5 to 1",
        ),
        (
            {"partial_target": np.ones(9), "partial_fraction": np.array([np.nan])},
            r"must be in \(0, 1\), got nan",
        ),
    ],
)
def test_impossible_partial_targets_are_refused(fields: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Signals(**fields)


@pytest.mark.parametrize("wait", [1, 3, 9])
def test_entries_before_the_end_of_the_warmup_are_dropped(wait: int) -> None:
    decided = made().signals(garch(20), SPACE.grid(wait=wait).params())
    for side in (decided.long, decided.short):
        assert np.flatnonzero(side.to_array()).tolist() == list(range(wait - 1, 20))


def test_each_cell_has_its_own_warmup() -> None:
    decided = made().signals(garch(20), SPACE.grid(wait=[2, 5], hold=[1, 2, 3]).params())
    assert decided.long.to_array().shape == (2, 1, 20)
    assert decided.long.to_array().sum(axis=-1).ravel().tolist() == [19, 16]


def test_entries_on_lost_bars_are_dropped() -> None:
    candles = garch(20)
    lost = np.isin(np.arange(20), [6, 7, 15])
    columns = {
        c: np.where(lost, np.nan, getattr(candles, c)) for c in ("open", "high", "low", "close", "volume")
    }
    holed = dataclasses.replace(candles, flags=lost.astype(np.uint8), **columns)
    decided = made(lambda candles, p: Signals(long=np.ones(20, bool))).signals(
        holed, SPACE.grid(wait=1).params()
    )
    assert np.array_equal(decided.long.to_array(), ~lost)


def test_a_side_left_out_stays_left_out() -> None:
    decided = made(lambda candles, p: Signals(long=np.ones(20, bool))).signals(
        garch(20), SPACE.grid().params()
    )
    assert decided.short is None
    assert isinstance(decided.long, AllOf)


@pytest.mark.usefixtures("registered")
def test_registering_again_replaces_and_owns_the_space() -> None:
    for reference in ({"wait": [1, 2]}, {"wait": [4, 5, 6]}):
        strategy("made_here", SPACE, lambda p: p["wait"], reference)(always)
    found = find_strategy("made_here")
    assert found.grid().shape == (3,)
    assert found.grid(wait=[1, 9]).shape == (2,)
    assert found.space.owner == "made_here"
    with pytest.raises(InputError, match=r"`wait` of made_here must be in \[1, 9\], got 10 \(bars\)"):
        found.space.grid(wait=10)


@pytest.mark.usefixtures("registered")
def test_the_decorator_returns_the_function_itself() -> None:
    assert strategy("made_here", SPACE, lambda p: p["wait"])(always) is always


def test_unknown_strategy_gets_a_suggestion() -> None:
    import quantlab.strategies  # noqa: F401

    with pytest.raises(UnknownNameError, match="did you mean 'liquidity_sweep'"):
        find_strategy("liquidity_sweeep")


def test_code_hash_follows_an_edit_of_the_file(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "edited_strategy.py"
    path.write_text("def signals(candles, p):\n    return None\n", encoding="utf-8")
    edited = made(__import__("edited_strategy").signals)
    before = edited.code_hash
    assert edited.code_hash == before
    path.write_text("def signals(candles, p):\n    return True\n", encoding="utf-8")  # the same length
    assert edited.code_hash != before


def test_code_hash_follows_the_source(tmp_path, monkeypatch) -> None:
    body = (
        "import numpy as np\nfrom quantlab.signals import Signals\n"
        "def signals(candles, p):\n    return Signals(long=candles.close > {})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    hashes = []
    for i, threshold in enumerate((1, 2, 2)):
        (tmp_path / f"mine{i}.py").write_text(body.format(threshold))
        hashes.append(made(__import__(f"mine{i}").signals).code_hash)
    assert hashes[0] != hashes[1]
    assert hashes[1] == hashes[2]
