"""The pictures of docs/explore.md: the explorer in a browser, light and dark, on the shipped candles."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "explore"))

from direct import shown
from jupyter import Page, browser

import quantlab as ql
from quantlab.lab import Lab
from quantlab.settings import Settings

CROSS = {"fast": list(range(5, 61)), "slow": list(range(80, 401, 4))}


def take(folder: Path) -> None:
    """Write ``explorer.png``, ``explorer-dark.png`` and ``explorer-cell.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, Lab(Settings(home=Path(home))) as lab, browser() as chromium:
        lab.put_candles(ql.sample_candles())
        hours = lab.candles("coinbase", "BTC/USD", "1h")
        grid = lab.sweep("liquidity_sweep", hours, progress=False)
        how: dict[str, Any] = {"split": "2018-12-01", "x": "pierce_depth", "y": "volume_spike"}
        with shown(chromium, lab.explore(grid, third="metric:break_even_cost_bps", **how)) as (page, _):
            _open(page, 0.3, 0.3)
            _save(page, folder / "explorer.png", 560)
        cross = lab.sweep("sma_cross", hours, CROSS, progress=False)
        with shown(chromium, lab.explore(cross, split="2018-12-01"), theme="dark") as (page, _):
            _open(page, 0.6, 0.4)
            _save(page, folder / "explorer-dark.png", 520)
            page.page.set_viewport_size({"width": 1280, "height": 1900})
            box = page.page.locator(".qlx .detail").bounding_box()
            page.page.screenshot(path=folder / "explorer-cell.png", clip=box)
            _smaller(folder / "explorer-cell.png")


def _open(page: Page, column: float, row: float) -> None:
    page.click_cell(column, row)
    page.wait(".qlx[data-sel]")
    page.page.mouse.move(2, 2)


def _save(page: Page, path: Path, height: int) -> None:
    box = page.page.locator(".qlx").bounding_box()
    page.page.screenshot(path=path, clip={**box, "height": min(height, box["height"])})
    _smaller(path)


def _smaller(path: Path) -> None:
    """The same picture in 96 colours: half the bytes."""
    from PIL import Image

    Image.open(path).convert("RGB").quantize(96).save(path, optimize=True)
