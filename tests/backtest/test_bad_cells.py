"""What is wrong with a cell is said alike by a sweep, a single run, the replay and the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.backtest.replay import replay
from quantlab.backtest.sweep import sweep
from quantlab.cli import app
from quantlab.errors import InputError
from quantlab.market.synthetic import garch

CANDLES = garch(400, seed=2)
BAD = [
    (
        "liquidity_sweep",
        "pierce_dept",
        0.002,
        "'pierce_dept' is not a parameter of liquidity_sweep: did you mean",
    ),
    (
        "liquidity_sweep",
        "pierce_depth",
        0.18,
        r"`pierce_depth` of liquidity_sweep must be in \[0.0005, 0.005\], got 0.18",
    ),
    (
        "liquidity_sweep",
        "stop_atr",
        40.0,
        r"`stop_atr` of liquidity_sweep must be in \[0.5, 3\], got 40 \(ATR\)",
    ),
    (
        "liquidity_sweep",
        "rejection_bars",
        2.5,
        "`rejection_bars` of liquidity_sweep must be whole numbers of bars",
    ),
    (
        "liquidity_sweep",
        "stop_at",
        "extrem",
        "'extrem' is not an option of `stop_at` of liquidity_sweep: did you mean",
    ),
    ("sma_cross", "fast", "x", "`fast` of sma_cross must be numbers, got"),
]
ASKED: dict[str, Callable[[str, dict[str, Any]], Any]] = {
    "sweep": lambda name, cell: sweep(name, CANDLES, {k: [v] for k, v in cell.items()}, progress=False),
    "run_cell": lambda name, cell: run_cell(name, CANDLES, cell),
    "replay": lambda name, cell: replay(name, CANDLES, cell),
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(("name", "parameter", "value", "words"), BAD)
def test_a_bad_value_is_named(asked: str, name: str, parameter: str, value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ASKED[asked](name, {parameter: value})


@pytest.mark.parametrize(("name", "parameter", "value", "words"), BAD)
def test_the_command_line_says_it_before_it_opens_a_database(
    name: str, parameter: str, value: Any, words: str
) -> None:
    command = ["sweep", name, "coinbase", "BTC/USD", "1h", "--set", f"{parameter}={value}"]
    found = CliRunner().invoke(app, command, env={"QUANTLAB_DSN": "postgresql://nobody@127.0.0.1:1/none"})
    assert found.exit_code == 2
    with pytest.raises(InputError, match=words):
        raise InputError(found.stderr)


@pytest.mark.parametrize("asked", ["run_cell", "replay"])
def test_a_broken_constraint_is_named_with_its_values(asked: str) -> None:
    with pytest.raises(InputError, match=r"^`fast < slow` must hold for sma_cross, got fast=50, slow=20\.$"):
        ASKED[asked]("sma_cross", {"fast": 50, "slow": 20})


def test_a_grid_of_forbidden_cells_has_no_best() -> None:
    surface = sweep("sma_cross", CANDLES, {"fast": [50, 60], "slow": [20, 30]}, progress=False)
    with pytest.raises(
        InputError, match="none of the 4 cells of sma_cross satisfies `fast < slow`: sweep others"
    ):
        surface.best(min_trades=1)


def test_a_mapping_is_a_grid() -> None:
    values = {"fast": [5, 10], "slow": [20, 30, 40]}
    one = sweep("sma_cross", CANDLES, values, progress=False)
    assert (
        one.key
        == sweep("sma_cross", CANDLES, strategies.get("sma_cross").space.grid(**values), progress=False).key
    )
    assert one.shape == (2, 3)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (
            lambda: sweep("sma_cross", CANDLES, [{"fast": 5}]),
            "a mapping of parameter to values, a Grid or Points, got list",
        ),
        (lambda: sweep("sma_cross", CANDLES, {3: [5]}), "3 is not a parameter of sma_cross"),
        (lambda: sweep("sma_cros", CANDLES), "'sma_cros' is not a strategy: did you mean 'sma_cross'"),
        (lambda: sweep(["sma_cross"], CANDLES), "by its name or as a Strategy, got list"),
        (
            lambda: sweep(strategies.get("sma_cross").signals, CANDLES),
            "by its name or as a Strategy, got function",
        ),
        (lambda: run_cell("sma_cross", CANDLES, None), "a cell of sma_cross is a mapping"),
        (lambda: run_cell("sma_cross", CANDLES, {"fast": [5, 6]}), "takes one value in a cell"),
    ],
)
def test_what_is_no_cell_and_no_strategy_is_refused(act: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        act()
