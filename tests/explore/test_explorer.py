"""The explorer without a browser: planes against a plain oracle, messages against what they must answer."""

from __future__ import annotations

import itertools
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import quantlab as ql
from quantlab.backtest.plateau import find_plateau, kernel_moments
from quantlab.backtest.surface import Surface
from quantlab.errors import InputError
from quantlab.explore.detail import figures_in, monthly
from quantlab.explore.packing import packed
from quantlab.explore.picture import png
from quantlab.explore.planes import Plane, Searched, check_view, first_view, planes
from quantlab.explore.told import where
from quantlab.figures.colours import colour_scale
from quantlab.lab import Lab
from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch
from quantlab.settings import Settings
from quantlab.space import Choice, Float, Int, Space
from quantlab.validation.ensemble import choose_ensemble

AXES = {"fast": [5, 8, 12, 20], "slow": [10, 30, 60], "max_holding": [5, 20, 50, 80, 90]}
SPACE = Space(
    Int("fast", 2, 100, 10, "bars", "the short one"),
    Int("slow", 2, 300, 50, "bars", "the long one"),
    Float("stop", 0.001, 0.5, 0.05, "fraction", "how far the stop is", role="exit"),
    Int("max_holding", 1, 100, 20, "bars", "longest", role="exit"),
    Choice("side", ("with", "against"), "with", "name", "which way"),
    constraints=("fast < slow",),
)


@pytest.fixture(scope="module", autouse=True)
def _strategy() -> None:
    @ql.strategy("explored", SPACE, lambda p: p["slow"] + 1)
    def signals(candles: Any, p: Any) -> ql.Signals:
        from quantlab.indicators import sma

        up = sma(candles.close, p.fast) > sma(candles.close, p.slow)
        long = np.where(p.side == "with", up, ~up)
        return ql.Signals(long=long, stop=candles.close * p.stop, max_holding=p.max_holding)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(Settings(home=tmp_path_factory.mktemp("lab home"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def candles(lab: Lab) -> Candles:
    made = garch(n_bars=3_000, timeframe="1h", seed=4)
    lab.put_candles(made)
    return lab.candles(made.exchange, made.symbol, "1h")


@pytest.fixture(scope="module")
def surface(lab: Lab, candles: Candles) -> Surface:
    return lab.sweep("explored", candles, AXES, progress=False)


class Wire:
    """What a widget sends, instead of a browser."""

    def __init__(self, widget: Any) -> None:
        self.widget, self.sent = widget, []
        widget.send = lambda message, buffers=None: self.sent.append((message, buffers or []))

    def ask(self, **message: Any) -> list[tuple[dict[str, Any], list[bytes]]]:
        self.sent.clear()
        self.widget._handle_custom_msg({"seq": 7, **message}, [])
        return list(self.sent)

    def error(self, **message: Any) -> str:
        answers = [m for m, _ in self.ask(**message)]
        assert [m["type"] for m in answers] == ["error"]
        assert answers[0]["seq"] == 7
        return str(answers[0]["text"])


def oracle(searched: Searched, view: Any, key: str) -> np.ndarray:
    """The plane of a pane, cell by cell: median first over its axes, then the best of what is left."""
    surface = searched.first
    axes = list(surface.axes)
    main = np.where(surface["trades"] >= view.min_trades, surface[view.metric], np.nan)
    shown = searched.values(key, view.metric)[0]
    size = {name: len(values) for name, values in surface.axes.items()}
    best = [n for n in axes if view.at.get(n) == "best"]
    median = [n for n in axes if view.at.get(n) == "median"]
    out = np.full((size.get(view.y, 1), size[view.x]), np.nan)
    for y, x in np.ndindex(*out.shape):
        found = []
        for over in itertools.product(*(range(size[n]) for n in best)):
            place = {view.x: x, **({view.y: y} if view.y else {}), **dict(zip(best, over, strict=True))}
            place |= {n: v for n, v in view.at.items() if isinstance(v, int)}
            cells = []
            for middle in itertools.product(*(range(size[n]) for n in median)):
                at = place | dict(zip(median, middle, strict=True))
                cells.append(tuple(at[n] for n in axes))
            known = [c for c in cells if not np.isnan(main[c])]
            if known:
                found.append((float(np.median([main[c] for c in known])), known))
        if found:
            chosen = max(found, key=lambda pair: pair[0])[1]
            values = [shown[c] for c in chosen]
            values = [v for v in values if not np.isnan(v)]
            out[y, x] = np.median(values) if values else np.nan
    return out


@pytest.mark.parametrize("at", [2, "best", "median"])
@pytest.mark.parametrize("pair", [("fast", "slow"), ("slow", "max_holding"), ("max_holding", "fast")])
@pytest.mark.parametrize("min_trades", [0, 60])
def test_planes_are_what_a_plain_loop_finds(
    lab: Lab, surface: Surface, at: Any, pair: tuple[str, str], min_trades: int
) -> None:
    searched = lab.explore(surface, split="2018-04-01").explorer.searched
    other = next(n for n in surface.axes if n not in pair)
    given = {"metric": "sharpe", "x": pair[0], "y": pair[1], "at": {other: at}, "third": "metric:net_profit"}
    view = check_view(searched, given | {"min_trades": min_trades})
    found = planes(searched, view)
    assert [pane.key for pane in found.panes] == ["in", "out", "metric:net_profit"]
    for pane in found.panes:
        np.testing.assert_allclose(pane.values, oracle(searched, view, pane.key), rtol=1e-12)
    for y, x in np.ndindex(*found.cell.shape):
        number = found.cell[y, x]
        assert (number < 0) == np.isnan(found.panes[0].values[y, x])
        if number >= 0 and at != "median":
            cell = np.unravel_index(number, surface.shape)
            assert found.panes[0].values[y, x] == searched.first["sharpe"][cell]


def test_out_of_sample_shows_the_cells_that_were_chosen_in_sample(lab: Lab, surface: Surface) -> None:
    searched = lab.explore(surface, split="2018-04-01").explorer.searched
    view = check_view(searched, {"metric": "sharpe", "x": "fast", "y": "slow", "at": {"max_holding": "best"}})
    out = planes(searched, view).panes[1].values
    itself = np.moveaxis(searched.values("out", "sharpe")[0], 2, 0).max(axis=0).T
    assert (out[~np.isnan(out)] <= itself[~np.isnan(out)]).all()
    assert (out < itself).any()


def test_parts_are_counted_as_searches_of_their_own(lab: Lab, candles: Candles) -> None:
    grid = {"fast": [6, 9], "slow": [40, 70], "max_holding": [33, 44]}
    surface = lab.sweep("explored", candles, grid, progress=False)
    before = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
    widget = lab.explore(surface, split="2018-03-01")
    after = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
    assert after.searches == before.searches + 2
    assert after.trials == before.trials + 2 * surface.size
    inside, outside = widget.explorer.searched.parts
    assert inside.identity.bars + outside.identity.bars == len(candles)
    assert outside.identity.first_ms == widget.about["split"]
    lab.explore(surface, split="2018-03-01")
    assert lab.store.counted(candles.family, candles.first_ms, candles.last_ms) == after


def test_a_click_answers_with_what_the_lab_itself_says_of_the_cell(lab: Lab, surface: Surface) -> None:
    wire = Wire(lab.explore(surface, x="fast", y="slow", min_trades=0))
    found = wire.widget.explorer.panes().cell
    x, y = 1, 2
    (cell, buffers), done = wire.ask(type="select", x=x, y=y)
    assert done[0] == {"type": "done", "seq": 7}
    index = tuple(cell["index"])
    assert index == np.unravel_index(found[y, x], surface.shape)
    assert wire.widget.cell.params == surface.cells.cell(index)
    run = lab.run(surface, surface.cell(index))
    read = dict(zip(cell["buffers"], buffers, strict=True))
    bars = np.frombuffer(read["bars:neutral"], "<i4")
    np.testing.assert_array_equal(np.frombuffer(read["equity:neutral"], "<f4"), run.equity[bars].astype("f4"))
    np.testing.assert_array_equal(np.frombuffer(read["entry_bar"], "<i4"), run.trades["entry_bar"])
    assert {"bars:neutral", "bars:pessimistic", "bars:optimistic"} <= read.keys()
    stop = np.frombuffer(read["stop"], "<f4")
    decided = surface.identity and lab.candles(surface.identity.exchange, surface.identity.symbol, "1h")
    wanted = decided.open[run.trades["entry_bar"]] - 0.05 * decided.close[run.trades["decision_bar"]]
    np.testing.assert_allclose(stop, wanted, rtol=1e-5)
    assert figures_in(cell["figures"], "trades")[0] == f"{len(run.closed):,}"
    assert sum(map(len, buffers)) < 120_000


def test_looking_under_another_fill_assumption_is_counted_once(lab: Lab, candles: Candles) -> None:
    surface = lab.sweep("explored", candles, {"fast": [4, 7], "slow": [44, 55]}, progress=False)
    wire = Wire(lab.explore(surface, min_trades=0))
    before = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
    wire.ask(type="select", x=0, y=0)
    wire.ask(type="select", x=0, y=0)
    after = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
    assert (after.trials, after.searches) == (before.trials + 2, before.searches)


def test_other_rules_sweep_again_counted_and_stored(lab: Lab, candles: Candles, surface: Surface) -> None:
    wire = Wire(lab.explore(surface, min_trades=0))
    rules = dict(wire.widget.rules)
    before = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
    wire.ask(type="rules", rules={**rules, "taker": 0.004, "fixed": {**rules["fixed"], "stop": 0.02}})
    now = wire.widget.surface
    assert now.execution.costs.taker == 0.004
    assert now.cells.fixed["stop"] == 0.02
    wanted = ql.sweep("explored", candles, now.cells, now.execution, progress=False)
    for name, values in wanted.metrics.items():
        np.testing.assert_array_equal(now[name], values)
    after = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
    assert (after.searches, after.trials) == (
        before.searches + 1,
        before.trials + int(now.cells.allowed.sum()),
    )
    _until(lambda: lab.store.has_surface(now.key))
    wire.ask(type="rules", rules=wire.widget.rules | {"first": "2018-02-01", "last": "2018-03-31"})
    assert wire.widget.about["period"].startswith("2018-02-01 to 2018-03-31, 1,416 bars")
    wire.ask(type="rules", rules=wire.widget.rules | {"sizing": "Risk", "risk": 0.02, "split": "2018-03-01"})
    assert wire.widget.surface.execution.sizing == ql.Risk(0.02, 1.0)
    assert [pane["key"] for pane in wire.widget.plane["panes"]] == ["in", "out"]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"type": "rules", "rules": {"taker": 7}}, "a fraction, not percent"),
        ({"type": "rules", "rules": {"taker": "much"}}, "taker must be a number, got 'much'"),
        ({"type": "rules", "rules": {"first": "2018-05-01", "last": "2018-05-01"}}, "these dates leave 24"),
        ({"type": "rules", "rules": {"split": "1980-01-01"}}, "choose another day"),
        ({"type": "rules", "rules": {"fixed": {"fast": 3}}}, "fast is no fixed parameter"),
        ({"type": "rules", "rules": {"fixed": {"stop": 9}}}, "stop"),
        ({"type": "view", "view": {"metric": "sharp"}}, "did you mean 'sharpe'"),
        ({"type": "view", "view": {"x": "fast", "y": "fast"}}, "two different axes"),
        ({"type": "view", "view": {"at": {"max_holding": 99}}}, "one of its 5 values"),
        ({"type": "view", "view": {"third": "worst"}}, "is not a view of this surface"),
        ({"type": "select", "x": 70, "y": 0}, "not on this plane"),
        ({"type": "select", "index": [3, 0, 0]}, "`fast < slow`"),
        ({"type": "select", "index": [3, 0]}, "no cell of a surface of shape"),
        ({"type": "dance"}, "knows no message 'dance'"),
        ({"type": "approve", "by": "a", "reason": "b"}, "validate first"),
    ],
)
def test_what_goes_wrong_is_said_and_changes_nothing(
    lab: Lab, surface: Surface, message: dict[str, Any], said: str
) -> None:
    wire = Wire(lab.explore(surface, x="fast", y="slow", min_trades=0))
    before = dict(wire.widget.view), wire.widget.surface.key, dict(wire.widget.selected)
    assert said in wire.error(**message)
    assert (dict(wire.widget.view), wire.widget.surface.key, dict(wire.widget.selected)) == before


def test_a_reload_shows_the_selection_again(lab: Lab, surface: Surface) -> None:
    wire = Wire(lab.explore(surface, min_trades=0))
    assert [m["type"] for m, _ in wire.ask(type="hello")] == ["market", "done"]
    (first, _), _ = wire.ask(type="select", x=0, y=1)
    again = wire.ask(type="hello")
    assert [m["type"] for m, _ in again] == ["market", "cell", "done"]
    assert again[1][0]["index"] == first["index"] == wire.widget.selected["index"]
    assert again[0][0]["bars"] == surface.identity.bars
    before = wire.widget.selected["seq"]
    wire.ask(type="select", x=0, y=1)
    assert wire.widget.selected["seq"] > before


def test_the_gate_is_asked_beside_and_tells_its_steps(lab: Lab, surface: Surface) -> None:
    wire = Wire(lab.explore(surface, min_trades=0))
    seen: list[dict[str, Any]] = []
    wire.widget.observe(lambda change: seen.append(dict(change["new"])), "job")
    wire.ask(type="validate")
    _until(lambda: wire.widget.job.get("state") in ("judged", "failed"))
    assert wire.widget.job["state"] == "judged", wire.widget.job
    assert seen[0]["state"] == "running"
    shares = [job["share"] for job in seen if job["state"] == "running"]
    assert shares == sorted(shares)
    verdict = lab.validate(surface)
    assert wire.widget.job["reasons"] == list(verdict.reasons)
    assert wire.widget.verdict.cell == verdict.cell
    assert "the gate refused" in wire.error(type="approve", by="ana", reason="looks good")
    assert any(mark["kind"] == "candidate" for mark in wire.widget.marks)


def test_a_gate_that_cannot_judge_says_why(lab: Lab, candles: Candles) -> None:
    short = candles[:200]
    wire = Wire(lab.explore(lab.sweep("explored", short, AXES, progress=False)))
    wire.ask(type="validate")
    _until(lambda: wire.widget.job.get("state") == "failed")
    assert "days" in wire.widget.job["text"]


def test_empty_states_say_what_to_do(lab: Lab, candles: Candles, surface: Surface) -> None:
    wire = Wire(lab.explore(surface, x="fast", y="slow", min_trades=0))
    wire.ask(type="view", view={"min_trades": 5_000})
    assert "Lower “at least … trades”" in wire.widget.plane["empty"]
    assert wire.error(type="select", x=0, y=2).startswith("there is no cell to show")
    forbidden = ql.sweep("explored", candles, {"fast": [90, 95], "slow": [10, 20]}, progress=False)
    assert "`fast < slow`" in lab.explore(forbidden).plane["empty"]
    never = replace(surface, metrics={name: np.full(surface.shape, np.nan) for name in surface.metrics})
    assert "Sweep more candles" in lab.explore(never).plane["empty"]


def test_one_axis_is_a_line_and_none_a_single_cell(lab: Lab, candles: Candles) -> None:
    one = lab.explore(lab.sweep("explored", candles, {"fast": [5, 9, 14]}, progress=False))
    assert (one.about["kind"], one.view["y"], one.plane["nx"], one.plane["ny"]) == ("line", "", 3, 1)
    assert Wire(one).ask(type="select", x=1, y=0)[0][0]["index"] == [1]
    none = lab.explore(lab.sweep("explored", candles, {}, progress=False))
    assert (none.plane["nx"], none.plane["ny"]) == (1, 1)
    assert Wire(none).ask(type="select", x=0, y=0)[0][0]["index"] == []


def test_choices_and_many_axes_have_their_place(lab: Lab, candles: Candles) -> None:
    grid = {**AXES, "side": ["with", "against"], "stop": [0.01, 0.03]}
    widget = lab.explore(lab.sweep("explored", candles, grid, progress=False), x="side", y="fast")
    side = next(axis for axis in widget.about["axes"] if axis["name"] == "side")
    assert (side["values"], side["ordered"]) == (["with", "against"], False)
    assert set(widget.view["at"]) == {"slow", "stop", "max_holding"}
    assert widget.plane["nx"] == 2


def test_a_list_of_points_is_scattered(lab: Lab, candles: Candles) -> None:
    study = lab.search("explored", candles, sampler="random", trials=40, seed=1, progress=False)
    wire = Wire(lab.explore(study, x="fast", y="slow"))
    assert wire.widget.about["kind"] == "points"
    points = study.surface.cells.columns
    np.testing.assert_array_equal(np.frombuffer(wire.widget.plane["px"], "<f4"), points["fast"])
    values = np.frombuffer(wire.widget.plane["panes"][0]["data"], "<f4")
    place = int(np.flatnonzero(~np.isnan(values))[0])
    assert wire.ask(type="select", x=place, y=0)[0][0]["index"] == [place]


def test_a_surface_of_other_code_is_shown_and_said_to_be_one(lab: Lab, surface: Surface) -> None:
    assert lab.explore(surface).about["notes"] == []
    older = replace(
        surface, metrics={n: v for n, v in surface.metrics.items() if n != "timing_t"}, key="0" * 64
    )
    widget = lab.explore(older)
    assert "other code made it" in widget.about["notes"][0]
    assert "timing_t" not in [metric["name"] for metric in widget.about["metrics"]]
    part = surface.sel(fast=8)
    assert "a part of a search" in lab.explore(part).about["notes"][0]


def test_further_panes_of_fills_and_regimes(lab: Lab, candles: Candles) -> None:
    labels = (np.arange(len(candles)) // 500 % 2).astype(np.int64)
    how: dict[str, Any] = {"assumptions": ["pessimistic", "optimistic"], "regimes": labels}
    surface = lab.sweep("explored", candles, AXES, progress=False, **how)
    wire = Wire(lab.explore(surface, x="fast", y="slow", min_trades=0))
    assert {"worst", "regime:0", "regime:1", "score"} <= wire.widget.about["extras"].keys()
    searched = wire.widget.explorer.searched
    three = [surface["sharpe"], surface.under("pessimistic")["sharpe"], surface.under("optimistic")["sharpe"]]
    np.testing.assert_array_equal(searched.values("worst", "sharpe")[0], np.minimum.reduce(three))
    np.testing.assert_array_equal(searched.values("regime:1", "sharpe")[0], surface.regimes["expectancy"][1])
    mean, sd, _ = kernel_moments(surface["sharpe"], (True, True, True))
    best = find_plateau(surface, "sharpe", 0).cell.index
    assert searched.values("score", "sharpe")[0][best] == (mean - sd)[best]
    wire.ask(type="rules", rules=wire.widget.rules | {"taker": 0.002, "last": "2018-04-30"})
    assert wire.widget.surface.regimes["trades"].shape[0] == 2


def test_large_planes_travel_in_steps_and_outliers_stay_out_of_the_scale() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(600, 700))
    values[3, 5], values[0, 0], values[1, 1] = 1e9, np.nan, -1e9
    plane = Plane("own", "t", "sharpe", values, colour_scale(values, "sharpe"))
    told = packed(plane)
    codes = np.frombuffer(told["data"], "<u2").reshape(values.shape)
    assert told["code"] == "u2"
    assert len(told["data"]) == 2 * values.size
    read = np.where(codes == 0, np.nan, told["from"] + (codes - 1.0) * (told["to"] - told["from"]) / 65534)
    within = (values > told["from"]) & (values < told["to"])
    assert np.abs(read - values)[within].max() <= (told["to"] - told["from"]) / 65534
    assert np.isnan(read[0, 0])
    assert read[3, 5] == told["to"]
    assert told["high"] < 5


def test_the_picture_is_a_png_with_the_colours_of_the_scale() -> None:
    values = np.array([[-1.0, 0.0], [np.nan, 1.0]])
    plane = Plane("own", "t", "sharpe", values, colour_scale(values, "sharpe"))
    data = png([plane])
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    start = data.index(b"IDAT")
    length = struct.unpack(">I", data[start - 4 : start])[0]
    rows = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + length]), np.uint8).reshape(height, -1)
    pixels = rows[:, 1:].reshape(height, width, 3)
    scale = plane.scale
    wanted = {
        (-1, 0): scale.colour(-1),
        (-1, -1): scale.colour(0),
        (0, 0): scale.colour(np.nan),
        (0, -1): scale.colour(1),
    }
    for place, colour in wanted.items():
        assert "#" + "".join(f"{v:02x}" for v in pixels[place]) == colour


def test_it_shows_itself_without_a_browser(lab: Lab, surface: Surface) -> None:
    widget = lab.explore(surface)
    assert repr(widget) == "SurfaceExplorer(explored, 4 x 3 x 5 = 60 cells)"
    data, _ = widget._repr_mimebundle_()
    assert data["text/plain"] == repr(widget)
    assert data["image/png"].startswith("iVBORw0KGgo")
    assert "application/vnd.jupyter.widget-view+json" in data
    widget.select(fast=8, slow=60)
    assert widget.cell.params["fast"] == 8


def test_months_are_compounded_and_known_by_name() -> None:
    days = np.array([-1, 0, 30, 31, 364, 365])
    found = monthly(np.array([0.5, 0.1, 0.1, -0.5, 0.2, 1.0]), days)
    assert [row[:2] for row in found] == [[1969, 12], [1970, 1], [1970, 2], [1970, 12], [1971, 1]]
    np.testing.assert_allclose([row[2] for row in found], [0.5, 0.21, -0.5, 0.2, 1.0])


def test_several_markets_are_refused(lab: Lab, candles: Candles) -> None:
    markets = lab.sweep(
        "explored", [candles, candles[:2_000]], {"fast": [5, 9], "slow": [20, 40]}, progress=False
    )
    with pytest.raises(InputError, match=r"surface\.market\(label\)"):
        lab.explore(markets)  # type: ignore[arg-type]


def test_the_first_view_goes_through_the_plateau(surface: Surface) -> None:
    searched = Searched(surface)
    view = first_view(searched, {"min_trades": 5})
    middle = dict(zip(surface.axes, surface.plateau("sharpe", 5).cell.index, strict=True))
    assert {name: middle[name] for name in view.at} == dict(view.at)


def test_marks_lie_where_the_surface_says(lab: Lab, surface: Surface) -> None:
    widget = lab.explore(surface, min_trades=5)

    def place(params: Any) -> dict[str, float]:
        return {name: float(np.flatnonzero(axis == params[name])[0]) for name, axis in surface.axes.items()}

    found = {
        kind: [mark["at"] for mark in widget.marks if mark["kind"] == kind] for kind in ("peak", "plateau")
    }
    assert found["peak"] == [place(surface.best("sharpe", 5).params)]
    assert found["plateau"] == [place(surface.plateau("sharpe", 5).cell.params)]
    members = [mark["at"] for mark in widget.marks if mark["kind"] == "ensemble"]
    assert members == [place(cell.params) for cell in choose_ensemble(surface, "sharpe", 5)]
    between = where(widget.explorer.searched, {"fast": 6.5, "slow": 30, "max_holding": 500})
    assert between == {"fast": 0.5, "slow": 1.0, "max_holding": None}


def _until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)
