import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from quantlab.errors import InputError
from quantlab.figures.colours import GAIN, MUTED
from quantlab.figures.slices_svg import slices_svg
from quantlab.figures.time_svg import candles_svg, equity_svg, regimes_svg
from quantlab.market.sample import sample_candles

SVG = "{http://www.w3.org/2000/svg}"
BTC = sample_candles()[2_000:2_120]
COLUMNS = (BTC.timestamps, BTC.open, BTC.high, BTC.low, BTC.close)
COLOURS = {"bull": "#0000aa", "bear": "#aa0000", "sideways": "#888888"}


def paths(text):
    return [e.attrib for e in ET.fromstring(text).iter(f"{SVG}path")]


def texts(text):
    return [e.text for e in ET.fromstring(text).iter(f"{SVG}text")]


def test_every_known_candle_is_drawn_once_and_lost_ones_are_not():
    close = BTC.close.copy()
    lost = slice(40, 50)
    columns = [column.copy() for column in COLUMNS[1:]]
    for column in columns:
        column[lost] = np.nan
    text = candles_svg(BTC.timestamps, *columns)
    rose, fell = (path["d"] for path in paths(text) if path.get("stroke-width") == "1")
    up = np.count_nonzero(columns[3] >= columns[0])
    assert rose.count("z") == up
    assert fell.count("z") == np.isfinite(columns[3]).sum() - up
    assert np.isfinite(close).all()


def test_a_higher_price_lies_higher():
    lines = {"low": BTC.low, "high": BTC.high}
    text = candles_svg(*COLUMNS, lines=lines, marks=[(5, 6_000.0, "exit")])
    low, high = (path["d"] for path in paths(text) if path.get("stroke-width") == "1.4")
    ys = [np.array(re.findall(r",([\d.]+)", d), float) for d in (low, high)]
    assert ys[0].size == ys[1].size == len(BTC)
    assert (ys[1] <= ys[0]).all()
    order = np.argsort(BTC.low)
    assert (np.diff(ys[0][order]) <= 0.11).all()


def test_marks_levels_labels_and_volume_are_there():
    text = candles_svg(
        *COLUMNS,
        BTC.volume,
        marks=[(10, BTC.low[10], "long"), (20, BTC.high[20], "short"), (30, BTC.close[30], "exit")],
        levels=[(10, 30, float(BTC.low[10]) * 0.99, "stop")],
        lines={"average": BTC.close},
        title="A rule",
    )
    assert {"A rule", "stop", "average", "volume"} <= set(texts(text))
    marks = [path["d"] for path in paths(text) if path.get("stroke-width") == "1.6"]
    assert len(marks) == 3
    x = [float(re.match(r"M([\d.]+)", d)[1]) for d in marks]
    assert x == sorted(x)
    assert any(re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:00", t) for t in texts(text))
    assert len(text) < 40_000


def test_everything_lies_inside_the_picture():
    for text in (
        candles_svg(*COLUMNS, BTC.volume, lines={"a": BTC.close}),
        regimes_svg(BTC.timestamps, BTC.close, np.full((120, 3), 1 / 3), BTC.close > 0, COLOURS),
    ):
        root = ET.fromstring(text)
        width, height = (float(root.attrib[name]) for name in ("width", "height"))
        for path in paths(text):
            for x, y in re.findall(r"[ML](-?[\d.]+),(-?[\d.]+)", path["d"]):
                assert 0 <= float(x) <= width
                assert 0 <= float(y) <= height


def test_the_shares_fill_their_panel_and_the_known_regimes_lie_behind_the_price():
    p = np.tile([0.5, 0.3, 0.2], (120, 1))
    p[60:] = [0.1, 0.1, 0.8]
    known = np.arange(120) >= 20
    text = regimes_svg(BTC.timestamps, BTC.close, p, known, COLOURS, title="T")
    root = ET.fromstring(text)
    polygons = [
        np.array(e.attrib["points"].replace(",", " ").split(), float).reshape(-1, 2)
        for e in root.iter(f"{SVG}polygon")
    ]
    area = [abs(np.sum(q[:, 0] * np.roll(q[:, 1], 1) - q[:, 1] * np.roll(q[:, 0], 1))) / 2 for q in polygons]
    assert np.array(area) / sum(area) == pytest.approx(p.mean(axis=0), abs=0.01)
    behind = [e.attrib for e in root.iter(f"{SVG}rect") if e.attrib.get("opacity")]
    assert [rect["fill"] for rect in behind] == ["#0000aa", "#888888"]
    widths = np.array([float(rect["width"]) for rect in behind])
    assert widths[0] / widths[1] == pytest.approx(40 / 60, abs=0.02)
    assert {"bull", "bear", "sideways", "T"} <= set(texts(text))


def test_hostile_names_are_escaped():
    text = candles_svg(*COLUMNS, title="<script>", lines={"<b>": BTC.close})
    assert "<script>" not in text
    assert "<script>" in texts(text)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: candles_svg(*COLUMNS[:4], BTC.close[1:]), "one length"),
        (lambda: candles_svg(*(c[:0] for c in COLUMNS)), "one length with a price"),
        (lambda: candles_svg(COLUMNS[0], *[np.full(120, np.nan)] * 4), "with a price"),
        (lambda: candles_svg(*COLUMNS, lines={str(i): BTC.close for i in range(5)}), "4 lines, got 5"),
        (
            lambda: regimes_svg(BTC.timestamps, BTC.close, np.ones((120, 2)), BTC.close > 0, COLOURS),
            "3 colours need as many columns",
        ),
    ],
)
def test_what_does_not_fit_is_refused(act, words):
    with pytest.raises(InputError, match=words):
        act()


def test_a_standstill_is_drawn():
    flat = np.full(30, 7.0)
    assert "svg" in candles_svg(BTC.timestamps[:30], flat, flat, flat, flat, flat * 0)


def _points(svg: str, colour: str) -> np.ndarray:
    path = re.search(rf'<path d="([^"]*)" fill="none" stroke="{colour}"', svg)
    assert path is not None
    return np.array([[float(v) for v in pair.split(",")] for pair in re.split("[ML]", path.group(1))[1:]])


def test_equity_is_drawn_in_log_scale_with_its_deepest_drawdown() -> None:
    times = np.arange(4_000, dtype=np.int64) * 3_600_000
    own = np.exp(np.linspace(0.0, 1.0, 4_000))
    own[2_001] *= 0.6  # one bar alone, between two that are drawn
    drawn = equity_svg(times, own, market=100 * np.exp(np.linspace(0.0, 0.5, 4_000)), title="A <run>")
    assert drawn == equity_svg(times, own, market=100 * np.exp(np.linspace(0.0, 0.5, 4_000)), title="A <run>")
    assert "A &lt;run&gt;" in drawn
    ET.fromstring(drawn)
    line, held = _points(drawn, GAIN), _points(drawn, MUTED)
    assert 700 < len(line) == len(held) <= 860
    slope = np.diff(line[:, 1]) / np.diff(line[:, 0])
    assert np.abs(slope - np.median(slope)).max() < 0.25 * abs(np.median(slope)) + 0.15  # a straight line
    assert line[-1, 1] < held[-1, 1] < line[0, 1]
    assert "−40.0%" in drawn
    with pytest.raises(InputError, match="one length"):
        equity_svg(times, own[1:])


def test_slices_share_an_axis_and_mark_what_was_chosen() -> None:
    profiles = [
        ("fast", [5, 10, 20], np.array([0.5, 1.5, 1.0]), 10, 10),
        ("side", ["with", "against"], np.array([1.5, np.nan]), "with", None),
    ]
    drawn = slices_svg(profiles, metric="sharpe", title="Sharpe")
    ET.fromstring(drawn)
    circles = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="(\d\.?\d*)"', drawn)
    assert len(circles) == 4
    chosen = [(x, y) for x, y, r in circles if r == "4"]
    assert len(chosen) == 2
    assert chosen[0][1] == chosen[1][1]  # the same cell at the same height
    heights = [float(y) for _, y, _ in circles[:3]]
    assert heights[1] < heights[2] < heights[0]
    shaded = re.search(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"[^>]*opacity', drawn)
    assert shaded is not None
    left, right = float(shaded[1]), float(shaded[1]) + float(shaded[2])
    assert left < float(circles[0][0])
    assert float(circles[2][0]) < right
    with pytest.raises(InputError, match="one score a value"):
        slices_svg([("fast", [5, 10], np.array([1.0]), 5, None)], metric="sharpe")
    with pytest.raises(InputError, match="at least one parameter"):
        slices_svg([], metric="sharpe")
