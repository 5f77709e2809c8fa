"""The relief, parallel axes and the figure of a run; and what a surface and a run hand down to them."""

import json

import numpy as np
import pytest

import quantlab as ql
from quantlab.backtest.drawing import profiles
from quantlab.backtest.engine import run_cell
from quantlab.errors import InputError
from quantlab.figures.equity import drawdown
from quantlab.figures.parallel import FAN, parallel
from quantlab.figures.run import run
from quantlab.figures.surface3d import surface3d
from quantlab.figures.template import house_template
from quantlab.search.run import search

LABELS = {"x_label": "fast", "y_label": "slow", "metric": "sharpe"}
Z = np.array([[0.1, -0.2, np.nan], [1.23456789, 0.4, np.inf]])


@pytest.fixture(scope="module")
def candles():
    return ql.sample_candles()[:2_000]


@pytest.fixture(scope="module")
def surface(candles):
    return ql.sweep("sma_cross", candles, {"fast": [5, 10, 20], "slow": [20, 40, 80, 160]}, progress=False)


def test_the_relief_has_holes_where_nothing_is_defined_and_one_step_a_value():
    figure = surface3d(Z, [5, 10, 50], ["a", "b"], marks=[(10, "b", "peak"), (50, "a", "hole")], **LABELS)
    relief, mark = figure.data
    assert np.isnan(relief.z[0, 2])
    assert np.isnan(relief.z[1, 2])  # infinite: undefined
    assert relief.z[1, 0] == 1.23457
    assert relief.cmin == -relief.cmax
    assert list(relief.x) == [0, 1, 2]
    assert list(figure.layout.scene.xaxis.ticktext) == ["5", "10", "50"]
    assert (mark.x[0], mark.y[0], mark.z[0], mark.text[0]) == (1, 1, 0.4, "peak")
    assert relief.text[1][2] == "fast 50<br>slow b"


def test_the_relief_names_some_of_many_values():
    figure = surface3d(np.zeros((2, 100)), range(100), [0, 1], **LABELS)
    assert len(figure.layout.scene.xaxis.ticktext) <= 8
    assert figure.layout.scene.xaxis.ticktext[1] == str(figure.layout.scene.xaxis.tickvals[1])


def test_the_relief_refuses_another_shape():
    with pytest.raises(InputError, match="transpose z or swap"):
        surface3d(Z.T, [5, 10, 50], [1, 2], **LABELS)


def test_parallel_axes_leave_out_cells_without_a_score_and_fan_out_equal_values():
    columns = {"n": np.array([1, 1, 1, 2]), "side": np.array(["long", "short", "long", "long"])}
    figure = parallel(columns, np.array([0.5, np.nan, 1.5, 1.0]), metric="sharpe")
    n, side, score = figure.data[0].dimensions
    np.testing.assert_allclose(n["values"], [-FAN / 2, FAN / 2, 1.0])
    assert list(n.ticktext) == ["1", "2"]
    assert list(side.ticktext) == ["long"]
    np.testing.assert_allclose(score["values"], [0.5, 1.5, 1.0])
    assert (figure.data[0].line.cmin, figure.data[0].line.cmax) == (0.5, 1.5)


def test_parallel_axes_show_many_values_as_numbers():
    values = np.linspace(0.001, 0.05, 40)
    axis = parallel({"depth": values}, np.arange(40.0), metric="sharpe").data[0].dimensions[0]
    np.testing.assert_allclose(axis["values"], values, rtol=1e-5)
    assert axis.ticktext is None


@pytest.mark.parametrize(
    ("columns", "scores", "message"),
    [
        ({}, np.ones(2), "no parameter"),
        ({"n": np.ones(3)}, np.ones(2), r"\(2,\).*n"),
        ({"n": np.ones(2)}, np.full(2, np.nan), "none of 2 cells has a sharpe"),
    ],
)
def test_parallel_axes_refuse_what_cannot_be_drawn(columns, scores, message):
    with pytest.raises(InputError, match=message):
        parallel(columns, scores, metric="sharpe")


def test_a_surface_draws_its_best_cells_best_on_top(surface):
    figure = surface.parallel("sharpe", top=5, min_trades=0)
    fast, slow, score = figure.data[0].dimensions
    best = np.sort(surface["sharpe"][surface.cells.allowed])[-5:]
    np.testing.assert_allclose(score["values"], best, rtol=1e-5)
    names = [str(value) for value in (surface.best("sharpe", 0).params[n] for n in ("fast", "slow"))]
    top = [axis.ticktext[round(axis["values"][-1])] for axis in (fast, slow)]
    assert top == names
    assert figure.layout.title.text == "sma_cross: the 5 best of 12 cells by sharpe"
    with pytest.raises(InputError, match="top=0"):
        surface.parallel(top=0)


def test_of_a_metric_of_which_less_is_better_the_lowest_are_drawn(surface):
    figure = surface.parallel("drawdown_duration", top=3, min_trades=0)
    lowest = np.sort(surface["drawdown_duration"].ravel())[:3][::-1]
    np.testing.assert_allclose(figure.data[0].dimensions[-1]["values"], lowest, rtol=1e-5)


def test_a_list_of_points_has_parallel_axes_but_no_slices(candles):
    study = search("sma_cross", candles, sampler="random", trials=30, progress=False)
    assert len(study.surface.parallel(min_trades=0).data[0].dimensions) == 3
    with pytest.raises(InputError, match="no axes"):
        study.surface.slices(at={"fast": 5, "slow": 20})


def test_a_surface_draws_its_relief_as_its_heatmap(surface):
    relief = surface.surface3d("sharpe", x="fast", y="slow")
    flat = surface.heatmap("sharpe", x="fast", y="slow")
    np.testing.assert_array_equal(relief.data[0].z, flat.data[0].z)
    assert relief.layout.title.text == flat.layout.title.text


def test_slices_run_through_the_chosen_cell(surface):
    found = {name: row for name, *row in profiles(surface, {"fast": 10, "slow": 80}, "sharpe", {"fast": 5})}
    np.testing.assert_array_equal(found["fast"][1], surface["sharpe"][:, 2])
    np.testing.assert_array_equal(found["slow"][1], surface["sharpe"][1, :])
    assert (found["fast"][2], found["fast"][3], found["slow"][3]) == (10, 5, None)
    assert len(surface.slices(at={"fast": 10, "slow": 80}).data) == 2
    with pytest.raises(InputError, match="fast has no value 11"):
        surface.slices(at={"fast": 11, "slow": 80})


def test_slices_default_to_the_plateau_and_shade_how_far_it_holds(surface):
    figure, plateau = surface.slices(min_trades=0), surface.plateau(min_trades=0)
    chosen = [str(value) for value in plateau.cell.params.values()]
    rings = [axis.x[int(np.argmax(axis.marker.size))] for axis in figure.data]
    assert rings == chosen
    assert len(figure.layout.shapes) == len(plateau.half_width)


def test_a_run_draws_equity_drawdown_and_every_closed_trade(candles, surface):
    ran = run_cell(surface.strategy, candles, {"fast": 5, "slow": 40}, surface.execution)
    lines = {trace.name: trace for trace in ran.figure(candles).data}
    assert np.nanmin(lines["strategy drawdown"].y) == pytest.approx(drawdown(ran.equity).min(), abs=1e-4)
    trades = lines["trades"]
    np.testing.assert_allclose(trades.y, ran.closed["trade_return"], rtol=1e-5)
    np.testing.assert_array_equal(trades.x, candles.timestamps[ran.closed["exit_bar"]])
    assert {text.split(", ")[0] for text in trades.text} <= {"long", "short"}
    with pytest.raises(InputError, match="2,000 bars, got 1,000"):
        ran.figure(candles[:1_000])


def test_a_run_without_trades_is_drawn():
    empty = {"exits_ms": np.zeros(0, np.int64), "returns": np.zeros(0), "texts": []}
    assert len(run(np.arange(3), np.ones(3), **empty).data) == 3
    with pytest.raises(InputError, match="a time, a return and a text"):
        run(np.arange(3), np.ones(3), **(empty | {"returns": np.ones(1)}))


def test_they_carry_the_house_template_and_are_the_same_bytes_each_time(surface, candles):
    ran = run_cell(surface.strategy, candles, {"fast": 5, "slow": 40}, surface.execution)

    def drawn():
        yield surface.surface3d(x="fast", y="slow")
        yield surface.parallel(min_trades=0)
        yield surface.slices(min_trades=0)
        yield ran.figure(candles)

    first = list(drawn())
    assert [figure.to_json() for figure in first] == [figure.to_json() for figure in drawn()]
    for figure in first:
        assert figure.layout.template == house_template()
        assert "uid" not in json.loads(figure.to_json())["data"][0]
