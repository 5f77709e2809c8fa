"""How long the surface explorer takes to answer, measured in a real browser through a real JupyterLab.

    python benchmarks/explorer.py --json

Four surfaces: `grid`, the reference grid of `liquidity_sweep` (201,600 cells) on the shipped hours, which are
split, so that a change of rules sweeps all cells on both parts first; `whole`, the same without a split;
`reference`, the same on 5,000 of those hours; and `million`, a plane of 1,000 x 1,000 cells with a slider of
two values behind it. Every figure is taken by the page itself:

- `click_ms`: from the press of the mouse button until equity, drawdown, price, months and trades of a cell
  under all three fill assumptions are drawn and their frame begins (three backtests and the websocket in
  between);
- `slider_ms`: from the input event until the new planes are drawn and their frame begins;
- `hover_ms`: drawing the crosshair on all panes and reading both values, without the kernel;
- `ahead_ms` (not of `million`): from a changed fee until the cells in view are swept and drawn on all panes
  (three seconds after the change before: somebody looked, and the lab stored it);
- `rules_ms` (not of `million`): until all cells of all panes, in sample and out of it, are swept and drawn;
- `whole_ms` (not of `million`): until the whole history is swept too, and everything stands as it is to stay;
- `click_painted_ms`, `slider_painted_ms` and so on: the same until that frame is laid out and painted as
  well, and the page could answer again;
- `bytes_to_show`: what came over the websocket from running the cell to the widget standing there;
- `ready_s`: from running the cell to the widget standing there.

`chart` is `lab.chart` over 100,000 bars: the times between frames while every frame zooms, or moves
(`benchmarks/chart.py` says more).

The medians of `million` stand by themselves as well. With `--images FOLDER` the pictures of docs/explore.md
are taken too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "explore"))

from chart import figures
from jupyter import CHROMIUM, Page, browser, jupyter, notebook, opened

SETUP = """import numpy as np
import quantlab as ql
lab = ql.open()
lab.put_candles(ql.sample_candles())
hours = lab.candles("coinbase", "BTC/USD", "1h")"""
GRID = 'surface = lab.sweep("liquidity_sweep", hours, progress=False)'
VIEW = 'third="metric:break_even_cost_bps", x="pierce_depth", y="volume_spike")'
SURFACES = {
    "grid": (GRID, f'lab.explore(surface, split="2018-12-01", {VIEW}'),
    "whole": (GRID, f"lab.explore(surface, {VIEW}"),
    "reference": (
        GRID.replace("hours", "hours[-5_000:]"),
        f'lab.explore(surface, split="2019-08-15", {VIEW}',
    ),
    "million": (
        'surface = ql.sweep("mean_reversion", hours[-2_000:], {"window": [40, 80], "deviation": '
        'np.linspace(1.0, 3.0, 1_000), "exit_z": np.linspace(-0.5, 0.5, 1_000)}, progress=False)',
        'lab.explore(surface, x="deviation", y="exit_z", min_trades=1)',
    ),
}
CHART_BARS = 100_000
LOOKED_S = 3.0
_TAKE = """([name, act]) => {
  const root = document.querySelector('.qlx');
  delete root.dataset[name];
  if (act) eval(act)(root);
}"""


def measure(page: Page, name: str, repeats: int, received: list[int]) -> dict[str, Any]:
    began, before = time.perf_counter(), sum(received)
    page.run_all()
    page.wait(".qlx[data-ready]")
    found: dict[str, Any] = {
        "ready_s": round(time.perf_counter() - began, 2),
        "bytes_to_show": sum(received) - before,
    }
    page.until("() => !document.querySelector('.qlx').dataset.busy")
    rng = np.random.default_rng(0)
    places = rng.uniform(0.05, 0.95, (repeats * 3, 2)).tolist()
    clicks: list[dict[str, float]] = []
    for column, row in places:
        page.page.evaluate(_TAKE, ["clickPaintedMs", ""])
        page.click_cell(column, row * 0.7)
        page.until(
            "() => { const d = document.querySelector('.qlx').dataset; return d.clickPaintedMs || d.error; }"
        )
        if not page.state("error"):  # some places are undefined
            clicks.append(taken(page, "click"))
        if len(clicks) == repeats:
            break
    found |= summaries(clicks)
    hovers = []
    over = page.page.locator(".qlx .over").first
    box = over.bounding_box()
    for column, row in places[: 2 * repeats]:
        x, y = 70 + column * (box["width"] - 90), 10 + row * (box["height"] - 60)
        page.page.mouse.move(box["x"] + x, box["y"] + y)
        hovers.append(float(page.state("hover-ms") or "nan"))
    found["hover_ms"] = summary([h for h in hovers if h == h])
    found |= summaries([slide(page, k) for k in range(repeats)])
    if name != "million":
        page.page.click(".rules summary")
        found |= summaries([change(page, k) for k in range(max(3, repeats // 3))])
    return found


def taken(page: Page, *names: str) -> dict[str, float]:
    """What the page measured: until the frame begins, and until it is painted [ms]."""
    return {
        f"{name}{what}_ms": float(page.state(f"{name}{what.replace('_', '-')}-ms") or "nan")
        for name in names
        for what in ("", "_painted")
    }


def slide(page: Page, k: int) -> dict[str, float]:
    """Move a slider to another value; what the page measured."""
    act = f"""root => {{
      const all = root.querySelectorAll('.slider input[type=range]'), s = all[{k} % all.length];
      s.value = +s.value < +s.max ? +s.value + 1 : 0;
      s.dispatchEvent(new Event('input', {{ bubbles: true }}));
    }}"""
    page.page.evaluate(_TAKE, ["sliderPaintedMs", act])
    page.until("() => document.querySelector('.qlx').dataset.sliderPaintedMs")
    return taken(page, "slider")


def change(page: Page, k: int) -> dict[str, float]:
    """Change the fee; what the page measured."""
    act = f"""root => {{
      for (const name of ["aheadPaintedMs", "rulesPaintedMs"]) delete root.dataset[name];
      const fee = root.querySelector('[data-rule=taker]');
      fee.value = {0.0005 + 0.00001 * k:.6f};
      fee.dispatchEvent(new Event('change', {{ bubbles: true }}));
    }}"""
    time.sleep(LOOKED_S)
    page.page.evaluate(_TAKE, ["wholePaintedMs", act])
    page.until("() => document.querySelector('.qlx').dataset.wholePaintedMs")
    found = taken(page, "ahead", "rules", "whole")
    page.until("() => !document.querySelector('.qlx').dataset.busy")
    return found


def summaries(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Every figure by its name, of the rows that have it."""
    values = {name: [row[name] for row in rows if row[name] == row[name]] for name in rows[0]}
    return {name: summary(those) for name, those in values.items() if those}


def summary(values: list[float]) -> dict[str, float]:
    """Median, least and most, in ms."""
    return {
        "median": round(float(np.median(values)), 2),
        "least": min(values),
        "most": max(values),
        "of": len(values),
    }


def frames(page: Page) -> list[int]:
    """Sizes of what will come over the page's websockets, as it comes."""
    received: list[int] = []
    page.page.on("websocket", lambda socket: socket.on("framereceived", lambda f: received.append(len(f))))
    return received


def run(repeats: int, only: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, jupyter(Path(folder)) as server, browser() as chromium:
        for name, (sweep, explore) in SURFACES.items():
            if only not in (None, name):
                continue
            (server.root / f"{name}.ipynb").write_text(notebook([f"{SETUP}\n{sweep}"]), encoding="utf-8")
            with opened(chromium, "about:blank") as page:
                received = frames(page)
                page.page.goto(server.url(f"{name}.ipynb"))
                page.run_all()
                page.page.evaluate(
                    "source => { const n = window.jupyterapp.shell.currentWidget.content.model.sharedModel;"
                    " n.deleteCellRange(0, n.cells.length);"
                    " n.insertCell(0, {cell_type: 'code', source}); }",
                    explore,
                )
                found[name] = measure(page, name, repeats, received)
                found[name]["outside_requests"] = len(page.outside)
    flat = "click_ms", "click_painted_ms", "slider_ms", "slider_painted_ms", "hover_ms", "bytes_to_show"
    for figure in flat if "million" in found else ():
        value = found["million"][figure]
        found[figure] = value["median"] if isinstance(value, dict) else value
    if only in (None, "chart"):
        found["chart"] = {name: round(value, 1) for name, value in figures(CHART_BARS, steps=120).items()}
    found["load_average"] = round(os.getloadavg()[0], 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--only", choices=[*SURFACES, "chart"])
    parser.add_argument("--images", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("no Chromium on this machine: `apt-get install chromium`.")
    if options.images:
        from explorer_images import take

        take(options.images)
        return
    found = run(options.repeats, options.only)
    if options.json:
        print(json.dumps(found))
        return
    for name in (*SURFACES, "chart"):
        with contextlib.suppress(KeyError):
            for figure, value in found[name].items():
                many = isinstance(value, dict)
                told = f"{value['median']:.1f} (most {value['most']:.1f})" if many else f"{value:,}"
                print(f"{name:>8} {figure:>18}: {told}")
    print(f"load average {found['load_average']}")


if __name__ == "__main__":
    main()
