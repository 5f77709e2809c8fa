"""How smoothly the candle chart zooms and moves over a long history, measured in a real browser.

    python benchmarks/chart.py --bars 120000 --json

The product's own widget in headless Chromium without a graphics card. `bytes` is what travels to the page,
the library included; `fill_ms` from the bytes to the chart's series; `ready_ms` from the start of the
browser to the first picture. Then a wheel event or a step of a drag in every frame: `zoom_*_ms` and
`move_*_ms` are the times between frames, `zoomed_bars` and `moved_bars` what the range did, so that a chart
that ignores them is not the fastest.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.explore.chart import CandleChart
from quantlab.explore.stops import stop_levels
from quantlab.market.synthetic import garch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "explore"))
from widget_page import chromium, shown

CELL = {"volume_spike": 1.5, "reversal_size": 0.75, "level_lookback": 20}
FRAMES = """async ({steps, kind}) => {
  const root = document.querySelector(".qlc"), canvas = root.querySelector("table canvas:last-of-type");
  const box = canvas.getBoundingClientRect(), x = box.left + 0.6 * box.width, y = box.top + 0.5 * box.height;
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const width = () => root.dataset.to - root.dataset.from;
  const before = {from: Number(root.dataset.from), width: width()};
  const mouse = (target, type, dx, buttons) => target.dispatchEvent(new MouseEvent(
    type, {clientX: x + dx, clientY: y, bubbles: true, cancelable: true, buttons, button: 0, view: window}));
  if (kind === "move") mouse(canvas, "mousedown", 0, 1);
  const times = [];
  let last = await frame();
  for (let k = 0; k < steps; k++) {
    if (kind === "move") mouse(document.documentElement, "mousemove", 4 * (k + 1), 1);
    else canvas.dispatchEvent(new WheelEvent("wheel",
      {deltaY: k < steps / 2 ? -120 : 120, clientX: x, clientY: y, bubbles: true, cancelable: true}));
    const now = await frame();
    times.push(now - last);
    last = now;
    if (k === Math.floor(steps / 2) - 1) before.half = width();
  }
  if (kind === "move") mouse(document.documentElement, "mouseup", 4 * steps, 0);
  return {times, half: before.half, width: before.width, moved: Math.abs(root.dataset.from - before.from)};
}"""


def figures(bars: int, steps: int) -> dict[str, Any]:
    """Everything that is measured, as one row."""
    candles = garch(bars, seed=7, timeframe="5m")
    strategy = strategies.get("liquidity_sweep")
    run = run_cell(strategy, candles, CELL)
    widget = CandleChart(candles, run, stop_levels(run, candles, strategy))
    sent = [*widget.market.values(), *widget.trades.values(), *widget.curve.values()]
    found: dict[str, Any] = {
        "bars": bars,
        "trades": len(run.trades),
        "bytes": len(widget._esm) + sum(len(part) for part in sent if isinstance(part, bytes)),
    }
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with chromium() as browser, shown(browser, widget, Path(folder)) as page:
            tab = page.tab
            tab.wait_for_selector(".qlc[data-ready]")
            found["ready_ms"] = 1e3 * (time.perf_counter() - began)
            found["fill_ms"] = float(tab.locator(".qlc").get_attribute("data-fill-ms"))
            tab.wait_for_timeout(1_000)  # what the library computes beside
            zoomed = tab.evaluate(FRAMES, {"steps": steps, "kind": "zoom"})
            moved = tab.evaluate(FRAMES, {"steps": steps, "kind": "move"})
            found["requests"] = len(page.asked)
    found |= {"zoomed_bars": zoomed["width"] - zoomed["half"], "moved_bars": moved["moved"]}
    for name, measured in (("zoom", zoomed), ("move", moved)):
        for share, label in ((0.5, "median"), (0.95, "p95"), (1.0, "worst")):
            found[f"{name}_{label}_ms"] = float(np.quantile(measured["times"], share))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bars", type=int, default=120_000)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = figures(given.bars, given.steps)
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(f"{name:16s} {value:,.1f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
