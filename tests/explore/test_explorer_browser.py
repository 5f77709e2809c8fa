"""The explorer in a real browser: in a JupyterLab on an empty home, and alone on a page.

Skipped where there is no Chromium; `.ci/run` installs it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from direct import shown
from jupyter import CHROMIUM, Jupyter, browser, jupyter, notebook, opened

from quantlab.backtest.engine import run_cell
from quantlab.backtest.surface import Surface
from quantlab.errors import StoreUnavailableError
from quantlab.lab import Lab
from quantlab.market.synthetic import planted_momentum
from quantlab.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: `apt-get install chromium`"),
]

FAST, SLOW = [5, 8, 12, 18, 24], [64, 96, 140, 180, 240]
CELLS = [
    f"""import quantlab as ql
from quantlab.market.synthetic import planted_momentum
lab = ql.open()
lab.put_candles(planted_momentum(n_bars=6_000, timeframe="4h", true_sharpe=3.0, half_life_bars=80, seed=3))
market = lab.markets().iloc[0]
candles = lab.candles(market.exchange, market.symbol, "4h")
surface = lab.sweep("sma_cross", candles, {{"fast": {FAST}, "slow": {SLOW}}}, progress=False)""",
    "explorer = lab.explore(surface, split='2020-01-01', x='fast', y='slow', min_trades=0)\nexplorer",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    with jupyter(tmp_path_factory.mktemp("machine")) as running:
        (running.root / "explore.ipynb").write_text(notebook(CELLS), encoding="utf-8")
        yield running


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(Settings(home=tmp_path_factory.mktemp("lab home"))) as found:
        yield found


@pytest.fixture(scope="module")
def surface(lab: Lab) -> Surface:
    made = planted_momentum(n_bars=6_000, timeframe="4h", true_sharpe=3.0, half_life_bars=80, seed=3)
    lab.put_candles(made)
    candles = lab.candles(made.exchange, made.symbol, "4h")
    return lab.sweep("sma_cross", candles, {"fast": FAST, "slow": SLOW}, progress=False)


def test_from_an_empty_machine_to_an_approved_row(server: Jupyter, chromium: Any) -> None:
    with opened(chromium, server.url("explore.ipynb")) as page:
        page.run_all()
        page.wait(".qlx[data-ready]")
        page.click_cell(0.1, 0.1)
        page.wait(".qlx[data-sel='0,0']")
        page.page.keyboard.press("ArrowRight")
        page.wait(".qlx[data-sel='1,0']")
        page.page.keyboard.press("ArrowUp")
        page.wait(".qlx[data-sel='1,1']")
        page.page.click("[data-do=validate]")
        page.wait(".qlx[data-job=running]")
        page.wait(".qlx[data-job=judged]")
        assert page.state("verdict") == "approved", page.page.inner_text(".qlx .gate")
        page.page.fill("[data-in=by]", "ana")
        page.page.fill("[data-in=reason]", "holds on all folds")
        page.page.click("[data-do=approve]")
        page.until("() => document.querySelector('.qlx').dataset.ok")
        row_id = page.state("ok")
        assert page.state("error") == ""
        home = server.root.parent / "lab"
        with Lab(Settings(home=home)) as lab:
            row = next(row for row in lab.store.active_configurations() if str(row["id"]) == row_id)
            document = json.loads(lab.store.configuration_document(row_id))
        assert row["strategy_name"] == "sma_cross"
        assert "holds on all folds" in json.dumps(document)
        page.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        page.page.reload()
        page.wait(".qlx[data-ready]")
        page.wait(".qlx[data-sel='1,1']")
        assert page.state("ok") == row_id
        assert page.outside == []
        assert page.complaints == []


def test_a_click_the_arrows_and_the_wheel(chromium: Any, lab: Lab, surface: Surface) -> None:
    widget = lab.explore(surface, x="fast", y="slow", min_trades=0)
    with shown(chromium, widget) as (page, _):
        page.click_cell(0.9, 0.1)
        page.wait(".qlx[data-sel='4,0']")
        assert widget.cell.params == {"fast": 24, "slow": 64}
        for key, at in (
            ("ArrowLeft", "3,0"),
            ("ArrowUp", "3,1"),
            ("ArrowRight", "4,1"),
            ("ArrowDown", "4,0"),
        ):
            page.page.keyboard.press(key)
            page.wait(f".qlx[data-sel='{at}']")
        before = page.page.locator(".stack canvas").first.screenshot()
        page.page.mouse.wheel(0, -300)
        page.until("() => true")
        zoomed = page.page.locator(".stack canvas").first.screenshot()
        assert zoomed != before
        page.page.keyboard.press("Escape")
        assert page.page.locator(".stack canvas").first.screenshot() == before
        assert page.complaints == []


def test_every_trade_can_be_rolled_to(chromium: Any, lab: Lab, surface: Surface) -> None:
    widget = lab.explore(surface, x="fast", y="slow", min_trades=0)
    candles = lab.candles(surface.identity.exchange, surface.identity.symbol, "4h")
    with shown(chromium, widget) as (page, _):
        page.click_cell(0.1, 0.1)
        page.wait(".qlx[data-sel='0,0']")
        run = run_cell("sma_cross", candles, widget.cell.params)
        entries = candles.timestamps[run.trades["entry_bar"]].astype("datetime64[ms]").astype("datetime64[m]")
        rows = page.page.locator(".trades tbody tr:visible")
        seen, count = rows.count(), len(run.trades)
        assert seen < count == int(page.state("trades"))
        for place, first in (("scrollHeight", seen - 1), ("scrollTop * 0", count - 1)):
            page.page.evaluate(
                f"() => {{ const b = document.querySelector('.tall'); b.scrollTop = b.{place}; }}"
            )
            page.until(
                "n => document.querySelector('.trades tbody td').innerText === String(n)", str(first + 1)
            )
            texts = [rows.nth(i).locator("td").nth(2).inner_text() for i in range(seen)]
            assert texts == [str(entries[first - i]).replace("T", " ") for i in range(seen)]
        rows.nth(2).click()
        assert rows.nth(2).get_attribute("data-trade") == str(count - 3)
        assert page.complaints == []


def test_curves_are_as_wide_as_their_place(chromium: Any, lab: Lab, surface: Surface) -> None:
    with shown(chromium, lab.explore(surface, x="fast", y="slow", min_trades=0)) as (page, _):
        for column, at in ((0.1, "0,0"), (0.9, "4,0")):
            page.click_cell(column, 0.1)
            page.wait(f".qlx[data-sel='{at}']")
            for chart in page.page.locator(".charts canvas").all():
                around = page.page.locator(".qlx .right").bounding_box()
                assert chart.bounding_box()["width"] == pytest.approx(around["width"], abs=1.5)


def test_a_press_selects_and_a_drag_of_what_is_zoomed_does_not(
    chromium: Any, lab: Lab, surface: Surface
) -> None:
    with shown(chromium, lab.explore(surface, x="fast", y="slow", min_trades=0)) as (page, _):
        box = page.page.locator(".qlx .over").first.bounding_box()
        mouse, middle = page.page.mouse, (box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.45)
        mouse.move(*middle)
        mouse.down()
        page.wait(".qlx[data-sel='2,2']")  # the button is still down
        mouse.up()
        mouse.wheel(0, -300)
        mouse.move(middle[0], middle[1] + 5)
        mouse.down()
        mouse.move(middle[0] - 60, middle[1] - 40, steps=4)
        mouse.up()
        page.until("() => !document.querySelector('.qlx').dataset.busy")
        assert page.state("sel") == "2,2"
        mouse.move(box["x"] + 80, box["y"] + 20)
        mouse.down()
        mouse.up()
        page.until("() => document.querySelector('.qlx').dataset.sel !== '2,2'")
        assert page.complaints == []


def test_hovering_reads_both_panes_without_the_kernel(chromium: Any, lab: Lab, surface: Surface) -> None:
    widget = lab.explore(surface, split="2020-01-01", x="fast", y="slow", min_trades=0)
    with shown(chromium, widget) as (page, kernel):
        kernel.answering = False
        over = page.page.locator(".qlx .over").first
        box = over.bounding_box()
        over.hover(position={"x": 66 + 0.5 * (box["width"] - 74), "y": 6 + 0.5 * (box["height"] - 46)})
        page.until("() => document.querySelector('.qlx .readout b')")
        said = page.page.inner_text(".qlx .readout")
        inside, outside = (part["sharpe"][2, 2] for part in widget.explorer.searched.parts)
        for text in ("fast 12", "slow 140", f"in-sample {inside:.2f}", f"out-of-sample {outside:.2f}"):
            assert text.replace("-0", "−0").replace(" -", " −") in said


def test_sliders_and_other_rules_redraw(chromium: Any, lab: Lab, surface: Surface) -> None:
    widget = lab.explore(surface, x="fast", y="slow", min_trades=0, third="score")
    with shown(chromium, widget) as (page, _):
        assert page.page.locator(".qlx .pane").count() == 2
        page.page.select_option("select[aria-label=metric]", "net_profit")
        page.until("() => document.querySelector('.pane-title').innerText.includes('net profit')")
        assert widget.view["metric"] == "net_profit"
        page.page.click(".rules summary")
        drawn = page.state("plane")
        page.page.fill("[data-rule=taker]", "0.02")
        page.page.press("[data-rule=taker]", "Tab")
        page.until("seq => document.querySelector('.qlx').dataset.plane !== seq", drawn)
        assert widget.surface.execution.costs.taker == 0.02
        assert np.nanmax(widget.surface["net_profit"]) < np.nanmax(surface["net_profit"])
        page.page.fill("[data-rule=taker]", "5")
        page.page.press("[data-rule=taker]", "Tab")
        page.wait(".qlx[data-error]")
        assert "a fraction, not percent" in page.page.inner_text(".qlx .error >> nth=0")
        assert page.page.input_value("[data-rule=taker]") == "0.02"


def test_a_failing_kernel_call_and_a_silent_kernel_are_shown(
    chromium: Any, lab: Lab, surface: Surface
) -> None:
    widget = lab.explore(surface, x="fast", y="slow", min_trades=0)

    def fail(*_: Any) -> Any:
        raise StoreUnavailableError("PostgreSQL does not answer at nowhere.")

    with shown(chromium, widget) as (page, kernel):
        widget.explorer.actions.opened = fail
        page.click_cell(0.5, 0.5)
        page.wait(".qlx[data-error]")
        assert "PostgreSQL does not answer at nowhere." in page.page.inner_text(".qlx .error >> nth=0")
        del widget.explorer.actions.opened
        page.click_cell(0.1, 0.5)
        page.wait(".qlx[data-sel='0,2']")
        assert page.state("error") == ""
        kernel.answering = False
        page.click_cell(0.9, 0.9)
        page.until(
            "() => document.querySelector('.qlx .status').innerText.includes('waiting for the kernel')"
        )
        page.until("() => (document.querySelector('.qlx').dataset.error || '').includes('does not answer')")


def test_a_refusal_disables_approval_with_the_reason(chromium: Any, lab: Lab, surface: Surface) -> None:
    candles = lab.candles(surface.identity.exchange, surface.identity.symbol, "4h")
    short = lab.sweep("sma_cross", candles[:1_500], {"fast": FAST[:2], "slow": SLOW[:2]}, progress=False)
    with shown(chromium, lab.explore(short)) as (page, _):
        assert page.page.get_attribute("[data-do=approve]", "title") == "validate first"
        page.page.click("[data-do=validate]")
        page.wait(".qlx[data-job=judged]")
        assert page.state("verdict") == "refused"
        assert page.page.is_disabled("[data-do=approve]")
        assert page.page.get_attribute("[data-do=approve]", "title").startswith("the gate refused: ")
        assert page.page.locator(".gate ul li").count() == len(lab.validate(short).reasons)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_themes_follow_the_reader(chromium: Any, lab: Lab, surface: Surface, theme: str) -> None:
    with shown(chromium, lab.explore(surface), theme=theme) as (page, _):
        ground = page.page.evaluate("() => getComputedStyle(document.querySelector('.qlx')).backgroundColor")
        light = sum(map(int, ground[4:-1].split(",")[:3])) > 384
        assert light == (theme == "light")


def test_every_kind_of_surface_is_drawn(chromium: Any, lab: Lab, surface: Surface) -> None:
    candles = lab.candles(surface.identity.exchange, surface.identity.symbol, "4h")
    study = lab.search("sma_cross", candles, sampler="random", trials=30, seed=1, progress=False)
    line = lab.sweep("sma_cross", candles, {"fast": FAST}, progress=False)
    cases = {"points": study, "line": line, "plane": lab.sweep("sma_cross", candles, {}, progress=False)}
    for kind, given in cases.items():
        with shown(chromium, lab.explore(given, min_trades=0)) as (page, _):
            page.page.locator(".qlx .over").first.focus()
            page.page.keyboard.press("ArrowRight")
            if kind == "line":
                page.click_cell(0.5, 0.5)
                page.wait(".qlx[data-sel='2']")
            assert page.complaints == [], kind
    with shown(chromium, lab.explore(surface, min_trades=100_000)) as (page, _):
        page.click_cell(0.5, 0.5)
        page.wait(".qlx[data-error]")
        assert "there is no cell to show" in page.state("error")
