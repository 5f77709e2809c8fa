import json
import subprocess
import sys

import numpy as np
import plotly.graph_objects as go
import pytest

from quantlab.errors import InputError
from quantlab.figures.bars import walk_forward
from quantlab.figures.candles import candles
from quantlab.figures.colours import DIVERGING, UNDEFINED
from quantlab.figures.equity import drawdown, equity
from quantlab.figures.heatmap import heatmap
from quantlab.figures.slices import slices
from quantlab.figures.template import house_template, use_house_style

X = [0.0005, 0.001, 0.005]
Y = [1.0, 1.25]
Z = np.array([[0.1, -0.2, np.nan], [1.23456789, 40.0, np.inf]])
LABELS = {"x_label": "pierce_depth", "y_label": "volume_spike", "metric": "sharpe"}


def all_figures():
    rng = np.random.default_rng(3)
    times = np.arange(500) * 3_600_000
    price = np.exp(np.cumsum(rng.normal(0, 0.01, 500)))
    return {
        "heatmap": heatmap(Z, X, Y, marks=[(0.001, 1.25, "peak"), (0.0005, 1, "plateau")], **LABELS),
        "equity": equity(times, price, price[::-1], spans=[(0, 3_600_000, "held out")]),
        "candles": candles(times, price, price * 1.01, price * 0.99, price, entries=[(0, 1.0, "long")]),
        "slices": slices([("fast", [10, 20, 40], np.array([0.1, 0.3, 0.2]), 20, 10)], metric="sharpe"),
        "walk_forward": walk_forward(
            ["a", "b"], np.array([1.0, 0.5]), np.array([0.2, -0.3]), metric="sharpe"
        ),
    }


def test_every_figure_carries_the_house_template_alone():
    for name, figure in all_figures().items():
        assert figure.layout.template == house_template(), name
        assert len(json.dumps(figure.layout.template.to_plotly_json())) < 2_000


def test_figures_are_the_same_bytes_each_time():
    first, second = ({n: f.to_json() for n, f in all_figures().items()} for _ in range(2))
    assert first == second
    assert all("uid" not in text for text in first.values())


def test_heatmap_takes_one_step_a_value_and_shows_undefined_cells_grey():
    figure = heatmap(Z, X, Y, **LABELS)
    trace = figure.data[0]
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "category"
    assert list(trace.x) == ["0.0005", "0.001", "0.005"]
    assert list(figure.layout.xaxis.range) == [-0.5, 2.5]
    assert np.isnan(trace.z[0, 2])
    assert np.isnan(trace.z[1, 2])  # infinite: undefined
    assert trace.z[1, 0] == 1.23457
    assert figure.layout.plot_bgcolor == UNDEFINED
    assert figure.layout.coloraxis.colorscale is None
    assert [colour for _, colour in trace.colorscale] == list(DIVERGING)


def test_heatmap_limits_are_symmetric_and_an_outlier_is_named_not_obeyed():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1, (6, 7))
    z[0, 0] = 4_000.0
    trace = heatmap(z, range(7), range(6), **LABELS).data[0]
    assert trace.zmin == -trace.zmax
    assert trace.zmax < 4
    assert trace.colorbar.ticktext[-1].startswith("≥")
    assert not trace.colorbar.ticktext[0].startswith("≤")


def test_heatmap_writes_values_only_where_they_can_be_read():
    small, large = (heatmap(np.ones((n, n)), range(n), range(n), **LABELS).data[0] for n in (10, 30))
    assert small.texttemplate == "%{z:.2f}"
    assert large.texttemplate is None


def test_heatmap_frames_marks_on_their_cells():
    figure = heatmap(Z, X, Y, marks=[(0.001, 1.25, "peak"), (0.001, 1.25, "plateau")], **LABELS)
    box = figure.layout.shapes[-1]
    assert (box.x0, box.x1, box.y0, box.y1) == (0.5, 1.5, 0.5, 1.5)
    assert figure.layout.annotations[0].text == "peak, plateau"


def test_heatmap_hover_shows_further_metrics():
    trades = np.arange(6.0).reshape(2, 3)
    trace = heatmap(Z, X, Y, hover={"trades": trades}, **LABELS).data[0]
    assert "trades %{customdata[0]:,.0f}" in trace.hovertemplate
    np.testing.assert_array_equal(trace.customdata[..., 0], trades)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": Z.T}, "transpose z or swap x and y"),
        ({"z": np.zeros((0, 3)), "y": []}, "at least one cell"),
        ({"marks": [(0.002, 1.0, "peak")]}, "the mark 'peak' lies at 0.002"),
        ({"hover": {"trades": np.zeros(3)}}, "hover values of 'trades'"),
    ],
)
def test_heatmap_refuses_what_does_not_fit(change, message):
    arguments = {"z": Z, "x": X, "y": Y, **LABELS, **change}
    with pytest.raises(InputError, match=message):
        heatmap(**arguments)


def test_heatmap_takes_choices_as_values():
    figure = heatmap(np.ones((2, 2)), ["long", "short"], [1, 2], marks=[("short", 2, "plateau")], **LABELS)
    assert list(figure.data[0].x) == ["long", "short"]
    assert figure.layout.shapes[-1].x0 == 0.5


def test_drawdown_counts_from_the_start_and_below_every_peak():
    np.testing.assert_allclose(drawdown(np.array([0.9, 1.2, 0.6, 1.5])), [-0.1, 0.0, -0.5, 0.0])


def test_equity_keeps_the_worst_drawdown_of_a_long_history():
    n = 300_000
    curve = np.linspace(1, 2, n)
    curve[123_457] *= 0.4
    figure = equity(np.arange(n) * 60_000, curve, np.full(n, 7.0))
    lines = {trace.name: trace for trace in figure.data}
    assert len(lines["strategy"].y) < 8_000
    assert np.nanmin(lines["strategy drawdown"].y) == pytest.approx(-0.6, abs=1e-4)
    assert lines["strategy"].y[0] == 1.0
    assert lines["strategy"].y[-1] == 2.0


def test_equity_scales_the_market_and_breaks_the_line_at_ruin():
    figure = equity(np.arange(4), np.array([1.0, 0.5, -0.1, -0.1]), np.array([np.nan, 200.0, 100.0, 300.0]))
    lines = {trace.name: np.asarray(trace.y) for trace in figure.data}
    np.testing.assert_allclose(lines["market, held"], [np.nan, 1.0, 0.5, 1.5])
    assert np.isnan(lines["strategy"][2:]).all()
    np.testing.assert_allclose(lines["strategy drawdown"], [0.0, -0.5, -1.1, -1.1])
    assert figure.layout.yaxis.type == "log"


def test_equity_refuses_lengths_that_differ():
    with pytest.raises(InputError, match="one timestamp a value"):
        equity(np.arange(3), np.ones(2))
    with pytest.raises(InputError, match="one price a bar"):
        equity(np.arange(3), np.ones(3), np.ones(2))


def test_candles_mark_fills_at_their_time_and_price():
    times, price = np.arange(3) * 60_000, np.array([10.0, 11.0, 12.0])
    fills = {"entries": [(60_000, 11.0, "long")], "exits": [(120_000, 12.5, "target")]}
    figure = candles(
        times, price, price + 1, price - 1, price, levels=[(60_000, 120_000, 9.5, "stop")], **fills
    )
    entry, leave = figure.data[1:]
    assert (entry.x[0], entry.y[0], entry.text[0]) == (60_000, 11.0, "long")
    assert (leave.x[0], leave.y[0], leave.text[0]) == (120_000, 12.5, "target")
    assert figure.layout.shapes[0].y0 == 9.5
    assert isinstance(figure.data[0], go.Candlestick)


def test_candles_of_a_long_span_are_merged_and_say_so():
    n = 4_000
    price = 100 + np.arange(n, dtype=float)
    figure = candles(np.arange(n) * 60_000, price, price + 1, price - 1, price + 0.5, title="all of it")
    trace = figure.data[0]
    assert len(trace.x) == 1_334
    assert figure.layout.title.text == "all of it (3 bars a candle)"
    assert (trace.open[0], trace.high[0], trace.low[0], trace.close[0]) == (100.0, 103.0, 99.0, 102.5)


def test_candles_refuse_columns_of_different_length():
    with pytest.raises(InputError, match="columns of one length"):
        candles(np.arange(3), np.ones(3), np.ones(3), np.ones(3), np.ones(2))


def test_slices_shade_the_plateau_and_ring_the_chosen_value():
    values, scores = [10, 20, 40, 80], np.array([0.1, 0.3, 0.2, np.nan])
    figure = slices(
        [("fast", values, scores, 20, 20), ("side", ["a", "b"], scores[:2], "b", None)], metric="sharpe"
    )
    assert len(figure.layout.shapes) == 1
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (-0.4, 2.4)
    assert list(figure.data[0].marker.size) == [6, 11, 6, 6]
    assert list(figure.data[1].marker.size) == [6, 11]
    with pytest.raises(InputError, match="at least one parameter"):
        slices([], metric="sharpe")
    with pytest.raises(InputError, match="one score a value"):
        slices([("fast", values, scores[:2], 20, 20)], metric="sharpe")


def test_walk_forward_bars_start_at_the_neutral_value():
    figure = walk_forward(["a", "b"], np.array([1.5, 2.0]), np.array([0.8, np.nan]), metric="profit_factor")
    after = figure.data[1]
    assert after.base == 1.0
    assert after.y[0] == pytest.approx(-0.2)
    assert after.customdata[0] == 0.8
    with pytest.raises(InputError, match="each window needs a label"):
        walk_forward(["a"], np.ones(2), np.ones(2), metric="sharpe")


def test_names_are_text_for_plotly_not_markup():
    hostile = '<a href="http://x.example">x</a>'
    figure = heatmap(Z, X, Y, x_label=hostile, y_label="y", metric="sharpe", title=hostile)
    assert figure.layout.title.text == '&lt;a href="http://x.example"&gt;x&lt;/a&gt;'
    assert "<a" not in figure.to_json().replace("\\u003c", "<")


def test_importing_and_drawing_change_nothing_global():
    code = (
        "import sys; import quantlab.figures.heatmap as h, quantlab.explore.report\n"
        "assert not {'plotly', 'great_tables', 'pandas', 'vectorbt'} & set(sys.modules), 'heavy import'\n"
        "import plotly.io as pio; before = pio.templates.default, pio.renderers.default\n"
        "h.heatmap([[1.0]], [1], [1], x_label='x', y_label='y', metric='sharpe')\n"
        "assert (pio.templates.default, pio.renderers.default) == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_house_style_is_pinned_only_when_asked(monkeypatch):
    import plotly.io as pio

    before = pio.templates.default, pio.renderers.default
    try:
        use_house_style()
        assert (pio.templates.default, pio.renderers.default) == ("quantlab", "plotly_mimetype")
        assert pio.templates["quantlab"] == house_template()
    finally:
        pio.templates.default, pio.renderers.default = before
