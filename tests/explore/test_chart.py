"""The candle chart: what it is handed, and what a browser makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from widget_page import CHROMIUM, Page, chromium, shown

import quantlab as ql
from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.backtest.trades import REASONS, STOP, Run
from quantlab.errors import InputError
from quantlab.explore.chart import STATIC, CandleChart
from quantlab.explore.stops import stop_levels
from quantlab.market.candles import MISSING, Candles

CELL = {"rejection_bars": 3, "volume_spike": 1.5, "reversal_size": 1.0, "level_lookback": 20}


@pytest.fixture(scope="module")
def candles() -> Candles:
    return ql.sample_candles()[:12_000]


@pytest.fixture(scope="module")
def run(candles: Candles) -> Run:
    return run_cell(strategies.get("liquidity_sweep"), candles, CELL)


@pytest.fixture(scope="module")
def chart(candles: Candles, run: Run) -> CandleChart:
    return CandleChart(candles, run, stop_levels(run, candles, strategies.get("liquidity_sweep")))


def test_prices_and_fills_travel_as_binary_numbers(chart: CandleChart, candles: Candles, run: Run) -> None:
    assert (chart.market["first_s"], chart.market["step_s"]) == (candles.first_ms // 1000, 3600)
    np.testing.assert_array_equal(np.frombuffer(chart.market["close"], "<f4"), candles.close.astype("<f4"))
    np.testing.assert_array_equal(np.frombuffer(chart.curve["equity"], "<f4"), run.equity.astype("<f4"))
    np.testing.assert_array_equal(np.frombuffer(chart.trades["exit_bar"], "<i4"), run.trades["exit_bar"])
    assert chart.trades["reasons"] == list(REASONS)
    assert (
        repr(chart)
        == f"CandleChart(liquidity_sweep on coinbase BTC/USD 1h: 12,000 bars, {len(run.trades)} trades)"
    )


def test_stops_lie_where_trades_were_stopped(candles: Candles, run: Run) -> None:
    levels = stop_levels(run, candles, strategies.get("liquidity_sweep"))
    assert levels is not None
    stopped = run.trades["reason"] == STOP
    assert stopped.sum() >= 5
    slip = run.execution.costs.slippage_bps / 1e4
    opens = candles.open[run.trades["exit_bar"]]
    side = run.trades["side"]
    through = np.where(
        side > 0, np.minimum(opens, levels), np.maximum(opens, levels)
    )  # a gap fills at the open
    expected = through * (1 - side * slip)
    np.testing.assert_allclose(run.trades["exit_price"][stopped], expected[stopped], rtol=1e-9)


def test_a_strategy_without_stops_has_none(candles: Candles) -> None:
    strategy = strategies.get("sma_cross")
    assert stop_levels(run_cell(strategy, candles, {}), candles, strategy) is None


def test_what_does_not_fit_is_refused(chart: CandleChart, candles: Candles, run: Run) -> None:
    with pytest.raises(InputError, match=r"12,000 bars, got 11,999"):
        CandleChart(candles[:-1], run)
    with pytest.raises(InputError, match="one stop, or NaN"):
        CandleChart(candles, run, np.ones(1))
    with pytest.raises(InputError, match="numbered from 0, got -1"):
        chart.select(-1)


def test_the_library_lies_beside_with_its_licence() -> None:
    head = (STATIC / "lightweight-charts.mjs").read_text(encoding="utf-8")[:300]
    notice = (STATIC / "lightweight-charts.NOTICE.md").read_text(encoding="utf-8")
    assert "v5.2.1" in head
    assert "5.2.1" in notice
    assert "Apache License" in (STATIC / "lightweight-charts.LICENSE").read_text(encoding="utf-8")[:200]


in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Any, chart: CandleChart, tmp_path: Path) -> Iterator[Page]:
    with shown(browser, chart, tmp_path) as page:
        page.tab.wait_for_selector(".qlc[data-ready]")
        yield page


def span(page: Page) -> tuple[float, float]:
    root = page.tab.locator(".qlc")
    return float(root.get_attribute("data-from")), float(root.get_attribute("data-to"))


@in_browser
@pytest.mark.slow
def test_all_bars_are_in_view_at_first(page: Page) -> None:
    assert page.tab.locator(".qlc").get_attribute("data-bars") == "12000"
    first, last = span(page)
    assert first <= 0
    assert last >= 11_999
    assert "2017-12-01" not in page.tab.locator(".readout").text_content()  # the last bar is read out
    assert page.asked == []
    assert page.errors == []


@in_browser
@pytest.mark.slow
def test_arrows_step_through_the_trades_and_tell_the_kernel(page: Page, run: Run) -> None:
    page.tab.locator(".qlc").focus()
    page.tab.keyboard.press("Home")
    page.tab.keyboard.press("ArrowRight")
    page.tab.keyboard.press("ArrowRight")
    second = run.trades[1]
    page.tab.wait_for_selector('.qlc[data-trade="1"]')
    text = page.tab.locator(".trade").text_content()
    side = "long" if second["side"] > 0 else "short"
    assert text.startswith(f"trade 2 of {len(run.trades)}: {side}, ")
    assert text.endswith(REASONS[second["reason"]])
    page.tab.wait_for_function("Number(document.querySelector('.qlc').dataset.to) < 11000")
    first, last = span(page)
    assert first < second["entry_bar"] <= second["exit_bar"] < last
    assert page.tab.evaluate("[model.get('trade'), window.saved]") == [1, 2]


@in_browser
@pytest.mark.slow
def test_the_read_out_names_the_bar_in_utc(page: Page, run: Run, candles: Candles) -> None:
    bar = int(run.trades[2]["entry_bar"])
    page.tab.evaluate("change({trade: 2})")
    page.tab.wait_for_selector('.qlc[data-trade="2"]')
    moment = str(np.datetime64(int(candles.timestamps[bar]), "ms"))[:16].replace("T", " ")
    assert page.tab.locator(".readout").text_content().startswith(f"{moment} UTC")


@in_browser
@pytest.mark.slow
def test_lost_bars_stay_empty_and_dark_pages_get_a_dark_chart(
    browser: Any, candles: Candles, tmp_path: Path
) -> None:
    prices = {name: getattr(candles, name).copy() for name in ("open", "high", "low", "close", "volume")}
    flags = candles.flags.copy()
    for column in prices.values():
        column[-3:] = np.nan
    flags[-3:] = MISSING
    holed = replace(candles, flags=flags, **prices)
    chart = CandleChart(holed, run_cell(strategies.get("sma_cross"), holed, {}))
    with shown(browser, chart, tmp_path, dark=True) as page:
        page.tab.wait_for_selector(".qlc.dark[data-ready]")
        assert "missing bar" in page.tab.locator(".readout").text_content()
        paper = page.tab.evaluate("getComputedStyle(document.querySelector('.qlc')).backgroundColor")
        assert paper == "rgb(22, 25, 29)"
        assert page.errors == []
        page.tab.evaluate("window.cleanup()")
