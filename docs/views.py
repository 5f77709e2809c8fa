"""Take the pictures of the candle chart, the live view and the figures that the pages show.

    python docs/views.py [FOLDER [charts] [live] [figures]]

The real widgets and figures in a real browser, on the sample that ships with quantlab.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import quantlab as ql
from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.explore.chart import CandleChart
from quantlab.explore.live import LiveView, Look
from quantlab.explore.stops import stop_levels
from quantlab.search.run import search
from quantlab.validation.gate import validate

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "explore"))
from widget_page import chromium, shown

GRID = {"fast": [5, 10, 15, 20, 30, 40, 60, 80], "slow": [50, 75, 100, 150, 200, 250, 300, 400]}
CELL = {"rejection_bars": 3, "volume_spike": 1.5, "reversal_size": 1.0, "level_lookback": 20}
SIZE = (940, 592)


def charts(browser: Any, work: Path, folder: Path) -> None:
    """A trade in its candles, and the whole history on a dark page."""
    candles, strategy = ql.sample_candles(), strategies.get("liquidity_sweep")
    run = run_cell(strategy, candles, CELL)
    chart = CandleChart(candles, run, stop_levels(run, candles, strategy))
    with shown(browser, chart, work, dark=True, size=SIZE) as page:
        page.tab.wait_for_selector(".qlc[data-ready]")
        page.tab.screenshot(path=folder / "chart-dark.png")
    chart.select(2)
    with shown(browser, chart, work, size=SIZE) as page:
        page.tab.wait_for_selector('.qlc[data-ready][data-trade="2"]')
        page.tab.screenshot(path=folder / "chart.png")


def live(browser: Any, work: Path, folder: Path) -> None:
    """A search that the gate is judging, with the figures of its end, and the verdict's null distribution."""
    candles = ql.resample(ql.sample_candles(), "4h")
    study = search("sma_cross", candles, sampler="tpe", trials=300, seed=1, progress=False)
    verdict = validate(ql.sweep("sma_cross", candles, GRID, progress=False), candles, progress=False)
    nulls = verdict.evidence.nulls
    assert nulls is not None
    pictured(browser, work, folder, {"verdict": verdict.figure()})
    look = Look(
        "sma_cross, tpe, coinbase BTC/USD 4h",
        "running",
        "running 78 %, markets without an edge",
        78.0,
        True,
        metric="sharpe",
        best=study.convergence,
        real=nulls.real,
        nulls={one.null: one.scores for one in nulls.nulls},
    )
    with shown(browser, LiveView(lambda: look), work, size=(940, 400)) as page:
        page.tab.wait_for_selector(".qll[data-ready]")
        page.tab.locator(".qll").screenshot(path=folder / "live.png")


def figures(browser: Any, work: Path, folder: Path) -> None:
    """A relief, parallel axes, slices and a run."""
    candles = ql.sample_candles()
    surface = ql.sweep("liquidity_sweep", candles, progress=False)
    crossed = ql.sweep("sma_cross", candles, progress=False)
    run = run_cell("sma_cross", candles, crossed.plateau().cell.params)
    drawn = {
        "surface3d": crossed.surface3d("sharpe", x="fast", y="slow"),
        "parallel": surface.parallel("sharpe"),
        "slices": surface.slices("sharpe"),
        "run": run.figure(candles),
    }
    pictured(browser, work, folder, drawn)


def pictured(browser: Any, work: Path, folder: Path, drawn: Mapping[str, Any]) -> None:
    """Figures as they stand on a page."""
    for name, figure in drawn.items():
        path = work / f"{name}.html"
        figure.write_html(path, include_plotlyjs=True, config={"displayModeBar": False})
        page = browser.new_page(viewport={"width": 940, "height": int(figure.layout.height) + 4})
        page.goto(path.as_uri())
        page.wait_for_selector(".js-plotly-plot .main-svg")
        page.wait_for_timeout(1_500)  # the relief is drawn after the frame
        page.screenshot(path=folder / f"{name}.png")
        page.close()


def main(folder: Path, *wanted: str) -> None:
    """Take those that are wanted, or all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, chromium() as browser:
        for take in (charts, live, figures):
            if not wanted or take.__name__ in wanted:
                take(browser, Path(work), folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("images"), *sys.argv[2:])
