"""What a sweep returns beside the metrics: other assumptions, regimes, blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from naive_rows import rows

from quantlab import strategies
from quantlab.backtest import local
from quantlab.backtest.by_regime import by_regime
from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import ASSUMPTIONS, Execution
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.request import BLOCK_SUMS, REGIME_METRICS, make_request
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import surface_key, sweep
from quantlab.errors import InputError, UnknownNameError
from quantlab.market.resample import resample
from quantlab.market.sample import sample_candles
from quantlab.market.synthetic import garch
from quantlab.regimes import REGIMES, detect
from quantlab.signals import Signals, Strategy
from quantlab.space import Float, Space
from quantlab.validation.gate import validate

BTC = sample_candles()[3_000:4_500]
SWEEP, CROSS = strategies.get("liquidity_sweep"), strategies.get("sma_cross")
GRID = SWEEP.space.grid(pierce_depth=[0.0005, 0.002], level_lookback=[20, 50], stop_atr=[0.5, 1.5, 3.0])
CROSSES = CROSS.space.grid(fast=[5, 20, 60], slow=[10, 40])
CASES = [("liquidity_sweep", GRID), ("sma_cross", CROSSES)]
LABELS = np.arange(len(BTC)) // 100 % 4 - 1
ASKED: dict[str, Any] = {"assumptions": ASSUMPTIONS, "regimes": LABELS, "blocks": 5}


def swept(strategy: str, cells: Any, execution: Execution | None = None, **how: Any) -> Surface:
    return sweep(strategy, BTC, cells, execution, progress=False, **how)


def same(a: Surface, b: Surface) -> bool:
    return all(a[name].tobytes() == b[name].tobytes() for name in METRICS)


def matrix(surface: Surface) -> np.ndarray:
    """All rows of a surface, as they were computed."""
    return np.concatenate([np.stack([surface[name] for name in METRICS]), surface.extras.rows])


@pytest.fixture(scope="module")
def whole() -> dict[str, Surface]:
    return {strategy: swept(strategy, cells, **ASKED) for strategy, cells in CASES}


@pytest.mark.parametrize(("strategy", "cells"), CASES)
@pytest.mark.parametrize("execution", [Execution(), Execution(assumption="pessimistic", direction="long")])
def test_every_row_is_what_single_runs_give(strategy: str, cells: Any, execution: Execution) -> None:
    surface = swept(strategy, cells, execution, **ASKED)
    request = make_request(BTC, execution, **ASKED)
    job = local.Job(strategies.get(strategy), BTC, execution, request)
    expected = rows(job, cells).reshape(-1, *cells.shape)
    found = matrix(surface)
    assert found.shape == expected.shape
    for name, ours, theirs in zip(request.layout, found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(("strategy", "cells"), CASES)
@pytest.mark.parametrize("own", ASSUMPTIONS)
def test_another_assumption_is_the_sweep_under_it_alone(
    strategy: str, cells: Any, own: Any, whole: dict[str, Surface]
) -> None:
    alone = swept(strategy, cells, Execution(assumption=own))
    for surface in (whole[strategy], swept(strategy, cells, Execution(assumption="optimistic"), **ASKED)):
        found = surface.under(own)
        assert same(found, alone)
        assert found.key == alone.key == surface_key(found.strategy, BTC, cells, Execution(assumption=own))
        assert found.execution == alone.execution
        assert found.extras is None
        assert found.under(own) is found


@pytest.mark.parametrize(("strategy", "cells"), CASES)
@pytest.mark.parametrize(("budget", "threads"), [(1, 1), (2**20, 3), (2**40, 2)])
def test_parts_and_threads_change_no_bit(
    strategy: str, cells: Any, budget: int, threads: int, whole: dict[str, Surface]
) -> None:
    surface = swept(strategy, cells, budget=budget, threads=threads, **ASKED)
    assert matrix(surface).tobytes() == matrix(whole[strategy]).tobytes()
    assert surface.key == whole[strategy].key


def test_what_is_asked_besides_changes_no_metric(whole: dict[str, Surface]) -> None:
    for strategy, cells in CASES:
        assert same(whole[strategy], swept(strategy, cells))


def test_regimes_and_blocks_have_their_axis_first(whole: dict[str, Surface]) -> None:
    for strategy, cells in CASES:
        surface = whole[strategy]
        assert tuple(surface.regimes) == REGIME_METRICS
        assert all(values.shape == (3, *cells.shape) for values in surface.regimes.values())
        for name in BLOCK_SUMS:
            assert getattr(surface.blocks, name).shape == (5, *cells.shape)
        assert surface.blocks.market.shape == (5,)
        assert surface.blocks.first_day.tolist() == [i * 63 // 5 for i in range(6)]


def test_blocks_add_up_to_the_whole(whole: dict[str, Surface]) -> None:
    place = (1, 0, 2)
    run = run_cell("liquidity_sweep", BTC, GRID.cell(place))
    blocks = whole["liquidity_sweep"].blocks
    assert run.daily.any()
    assert blocks.sum[:, *place].sum() == pytest.approx(run.daily.sum(), rel=1e-12)
    assert blocks.sum_of_squares[:, *place].sum() == pytest.approx((run.daily**2).sum(), rel=1e-12)
    assert blocks.exposure[:, *place].sum() == pytest.approx(run.exposure.sum(), rel=1e-12)
    assert blocks.market.sum() == pytest.approx(run.market_daily.sum(), rel=1e-12)


def test_regimes_are_detected_and_looked_up_by_name() -> None:
    found = detect(BTC, duration_bars=60)
    surface = swept("sma_cross", CROSSES, regimes=found)
    x, y = CROSSES.axes
    for place, name in enumerate(REGIMES):
        assert surface.in_regime("trades", name) is not surface["trades"]
        assert surface.in_regime("trades", name).tobytes() == surface.regimes["trades"][place].tobytes()
        plane = surface.plane("expectancy", x, y, regime=name)
        assert plane.tobytes() == surface.in_regime("expectancy", place).T.tobytes()
        figure = surface.heatmap("expectancy", x=x, y=y, regime=name)
        assert figure.layout.title.text.endswith(f"decided in {name}")
        np.testing.assert_allclose(np.array(figure.data[0].z, float), plane, rtol=1e-4)
    for act, words in [
        (
            lambda: surface.in_regime("trades", "bul"),
            "'bul' is not a regime of this surface: did you mean 'bull'",
        ),
        (lambda: surface.in_regime("trades", 4), "'4' is not a regime of this surface"),
        (lambda: surface.in_regime("sharpe", "bull"), "'sharpe' is not a metric that is measured by regime"),
    ]:
        with pytest.raises(UnknownNameError, match=words):
            act()


@pytest.mark.parametrize(("strategy", "cells"), CASES)
def test_a_run_by_regime_is_its_cell_of_the_surface(
    strategy: str, cells: Any, whole: dict[str, Surface]
) -> None:
    surface = whole[strategy]
    for place in list(np.ndindex(cells.shape))[::3]:
        if cells.allowed[place]:
            run = run_cell(strategy, BTC, cells.cell(place))
            found = by_regime(run, BTC.timestamps, LABELS, ["a", "b", "c"])
            for r, figures in enumerate(found.values()):
                expected = [surface.regimes[name][(r, *place)] for name in REGIME_METRICS]
                np.testing.assert_allclose(
                    [figures[n] for n in REGIME_METRICS], expected, rtol=1e-9, atol=1e-12
                )


def test_a_day_belongs_to_the_regime_that_was_known_when_it_began() -> None:
    run = run_cell("sma_cross", BTC, CROSSES.cell((0, 0)))
    days = BTC.timestamps // 86_400_000 - BTC.timestamps[0] // 86_400_000
    by_day = (days % 2).astype(int)  # the label of a whole day is known at its end: the next day's
    found = by_regime(run, BTC.timestamps, by_day, ["even", "odd"])
    even, odd = run.daily[1::2], run.daily[2::2]
    for name, mine in (("even", even), ("odd", odd)):
        assert found[name]["sharpe"] == pytest.approx(mine.mean() / mine.std(ddof=1) * 365**0.5)
    assert found["even"]["share_of_time"] == pytest.approx(np.mean(by_day == 0))
    nothing = by_regime(run, BTC.timestamps, np.full(len(BTC), -1), ["even"])["even"]
    assert nothing["trades"] == nothing["net_profit"] == 0
    assert np.isnan([nothing["sharpe"], nothing["win_rate"], nothing["expectancy"]]).all()
    with pytest.raises(InputError, match="of the run's"):
        by_regime(run, BTC.timestamps, by_day[1:], ["even", "odd"])


def test_regimes_that_cover_every_bar_multiply_to_the_whole() -> None:
    surface = swept("sma_cross", CROSSES, regimes=np.arange(len(BTC)) % 3)
    allowed = CROSSES.allowed
    factors = np.prod(1.0 + surface.regimes["net_profit"], axis=0)
    assert factors[allowed] == pytest.approx(1.0 + surface["net_profit"][allowed], rel=1e-12)
    assert surface.regimes["trades"].sum(axis=0)[allowed].tolist() == surface["trades"][allowed].tolist()
    assert all(np.isnan(values[:, ~allowed]).all() for values in surface.regimes.values())


def test_a_part_of_a_surface_keeps_its_extras(whole: dict[str, Surface]) -> None:
    surface = whole["liquidity_sweep"]
    part = surface.sel(level_lookback=50)
    assert part.regimes["win_rate"].tobytes() == surface.regimes["win_rate"][:, :, 1].tobytes()
    assert part.blocks.exposure.tobytes() == surface.blocks.exposure[:, :, 1].tobytes()
    other, alone = part.under("optimistic"), surface.under("optimistic").sel(level_lookback=50)
    assert same(other, alone)
    assert other.key == alone.key != part.key


def test_what_was_not_asked_for_is_named() -> None:
    surface = swept("sma_cross", CROSSES)
    for act, words in [
        (lambda: surface.regimes, "swept without regimes: sweep with regimes="),
        (lambda: surface.blocks, "swept without blocks: sweep with blocks="),
        (
            lambda: surface.under("optimistic"),
            r"no figures under 'optimistic', only under neutral: sweep with",
        ),
    ]:
        with pytest.raises(InputError, match=words):
            act()
    with pytest.raises(UnknownNameError, match="did you mean 'optimistic'"):
        surface.under("optimist")


def test_the_key_covers_what_is_asked(whole: dict[str, Surface]) -> None:
    other = LABELS.copy()
    other[-1] = 0 if other[-1] else 1
    asked = [{}, ASKED, {**ASKED, "blocks": 6}, {**ASKED, "regimes": other}, {"assumptions": ["optimistic"]}]
    keys = [surface_key(CROSS, BTC, CROSSES, Execution(), make_request(BTC, Execution(), **a)) for a in asked]
    assert len(set(keys)) == len(keys)
    assert keys[1] == whole["sma_cross"].key
    assert keys[0] == whole["sma_cross"].plain_key == swept("sma_cross", CROSSES).key
    assert surface_key(CROSS, BTC, CROSSES, Execution(), None, BTC) != keys[0]


def test_a_stopped_sweep_resumes_with_all_its_rows(whole: dict[str, Surface]) -> None:
    kept: dict[int, np.ndarray] = {}

    class Stopping:
        def load(self) -> dict[int, np.ndarray]:
            return dict(kept)

        def save(self, part: int, values: np.ndarray) -> None:
            kept[part] = values.copy()
            if len(kept) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept("liquidity_sweep", GRID, checkpoint=Stopping(), budget=2**19, **ASKED)
    assert len(kept) == 2
    resumed = swept("liquidity_sweep", GRID, checkpoint=Stopping(), budget=2**19, **ASKED)
    assert len(kept) > 2
    assert matrix(resumed).tobytes() == matrix(whole["liquidity_sweep"]).tobytes()


def test_extras_go_with_each_market() -> None:
    markets = [BTC, garch(1_000, seed=5)]
    labels = [np.arange(len(candles)) % 3 - 1 for candles in markets]
    asked: dict[str, Any] = {"assumptions": ["pessimistic"], "blocks": 4, "progress": False}
    together = sweep("sma_cross", markets, CROSSES, regimes=labels, **asked)
    for place, candles in enumerate(markets):
        alone = sweep("sma_cross", candles, CROSSES, regimes=labels[place], **asked)
        found = together.market(place)
        assert found.key == alone.key
        assert matrix(found).tobytes() == matrix(alone).tobytes()
        assert same(together.under("pessimistic").market(place), alone.under("pessimistic"))
    half = sweep("sma_cross", markets, CROSSES, regimes=[None, labels[1]], progress=False)
    assert half.market(0).extras is None
    assert half.market(1).regimes["trades"].shape == (2, 3, 2)


FOUR = resample(BTC, "4h")
WIDTHS = Space(Float("width", 0.001, 0.1, 0.005), owner="often")
OFTEN = Strategy(
    "often",
    WIDTHS,
    lambda c, p: Signals(long=c.close > 0, stop=c.close * p.width, target=c.close * p.width),
    lambda p: 1,
)


def often(candles: Any, execution: Execution | None = None, **how: Any) -> Any:
    cells = WIDTHS.grid(width=[0.002, 0.005, 0.01])
    return sweep(OFTEN, candles, cells, execution, progress=False, **how)


def test_a_lower_timeframe_decides_and_is_part_of_the_key() -> None:
    detailed = often(FOUR, intrabar=BTC, assumptions=["optimistic"])
    whole_bars = often(FOUR)
    assert not same(detailed, whole_bars)
    assert len({detailed.plain_key, whole_bars.key, detailed.key}) == 3
    assert detailed.intrabar.timeframe == "1h"
    for assumption in ("neutral", "optimistic"):
        rules = Execution(assumption=assumption)
        alone, found = often(FOUR, rules, intrabar=BTC), detailed.under(assumption)
        assert found.key == alone.key
        assert same(found, alone)
        for place in range(3):
            cell = found.cell((place,))
            run = run_cell(OFTEN, FOUR, cell.params, rules, intrabar=BTC)
            assert dict(run.metrics) == pytest.approx(dict(cell.metrics), rel=0, abs=0, nan_ok=True)
    several = often([FOUR, BTC], intrabar=[BTC, None])
    assert same(several.market(0), detailed)
    assert several.market(1).intrabar is None


def test_a_surface_with_a_lower_timeframe_is_not_judged() -> None:
    surface = sweep("sma_cross", FOUR, CROSSES, intrabar=BTC, progress=False)
    with pytest.raises(InputError, match="swept with 1h candles inside them: sweep without `intrabar`"):
        validate(surface, FOUR, progress=False)
    with pytest.raises(InputError, match="`intrabar` must be Candles of a lower timeframe, got str"):
        sweep("sma_cross", FOUR, CROSSES, intrabar="1h", progress=False)
    with pytest.raises(InputError, match="must be of the same market"):
        sweep("sma_cross", FOUR, CROSSES, intrabar=garch(500), progress=False)
    with pytest.raises(InputError, match="must divide"):
        sweep("sma_cross", BTC, CROSSES, intrabar=FOUR, progress=False)
    with pytest.raises(InputError, match="must divide that of the candles"):
        run_cell("sma_cross", BTC, {}, intrabar=FOUR)
