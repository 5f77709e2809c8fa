"""The blocks of a section, one function each: values in, HTML out, nothing when there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.explore.data import ChosenCell, CloseUp, EquityCurve, EvidenceRow, Plane, Section
from quantlab.explore.tables import date, great_table, label, long_table, param_text, text_columns
from quantlab.figures.labels import MISSING_TEXT, metric_style, metric_text, number_text

if TYPE_CHECKING:
    import plotly.graph_objects as go

_SMALL: ContextVar[bool] = ContextVar("quantlab.report.small", default=False)

_FILLS = {
    "pessimistic": "a gap beyond the target fills at the target; stop before target inside a bar",
    "neutral": "a gap beyond the target fills at the open; stop before target inside a bar",
    "optimistic": "as neutral, but target before stop inside a bar",
}


@contextmanager
def small() -> Iterator[None]:
    """While this lasts, pictures are static SVG: no script, a small file."""
    token = _SMALL.set(True)
    try:
        yield
    finally:
        _SMALL.reset(token)


def verdict(section: Section) -> str:
    """The verdict with its reasons and the headline figures."""
    kind = "approved" if section.approved else "refused"
    lead = "Why it was approved" if section.approved else "Why it was refused"
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in section.reasons)
    figures = "".join(
        f"<div><dt>{escape(label(name))}</dt><dd>{escape(metric_text(name, value))}</dd></div>"
        for name, value in section.figures.items()
    )
    return (
        f'<div class="verdict {kind}"><p class="stamp">{section.verdict}</p>'
        f"{_paragraph(section.summary, 'lead')}<h3>{lead}</h3><ul>{reasons}</ul></div>"
        + (f'<dl class="figures">{figures}</dl>' if figures else "")
    )


def luck(section: Section, key: str) -> str:
    """What the search found where there is no edge, beside what it found here."""
    found = section.luck
    if found is None:
        return ""
    from quantlab.figures.nulls import nulls, nulls_svg

    static = nulls_svg(found.scores, found.real)
    chart = _picture(lambda: nulls(found.scores, found.real), lambda: static, f"{key}-luck")
    return _block("Luck, and what was found", chart, found.words)


def evidence(section: Section, key: str) -> str:
    """The tests that decide, and those that are only reported: a table each."""
    decisive = [row for row in section.evidence if row.passed is not None]
    reported = [row for row in section.evidence if row.passed is None]
    passed = sum(bool(row.passed) for row in decisive)
    parts = []
    if decisive:
        parts.append("<h4>What decides</h4>" + _tests(decisive, f"{key}-evidence"))
    if reported:
        parts.append("<h4>Reported, decides nothing</h4>" + _tests(reported, f"{key}-reported"))
    note = f"{passed} of {len(decisive)} deciding tests passed; one failure refuses. Reported ones inform."
    if section.members:
        note += " The chosen cell of which they speak is the best member."
    return _block("Evidence", "".join(parts), note) if parts else ""


def _tests(rows: Sequence[EvidenceRow], table_id: str) -> str:
    columns = {
        "test": [row.name for row in rows],
        "result": [str(row.passed) for row in rows],
        "value": [number_text(_four(row.value)) for row in rows],
        "threshold": [number_text(_four(row.threshold)) for row in rows],
        "what it means": [row.meaning for row in rows],
        "seconds": [MISSING_TEXT if row.seconds is None else f"{row.seconds:.2f}" for row in rows],
    }
    if all(row.threshold is None for row in rows):
        del columns["threshold"]
    if all(row.passed is None for row in rows):
        del columns["result"]
    return great_table(
        columns,
        table_id,
        left=("test", "result", "what it means"),
        badge="result" if "result" in columns else None,
    )


def walk_forward(section: Section, key: str) -> str:
    """The windows of the walk-forward: a picture and a table."""
    if not section.folds:
        return ""
    from quantlab.figures.bars import walk_forward as figure

    folds = section.folds
    same = _same_in_all([fold["params"] for fold in folds if fold["params"] is not None])
    train = [fold["in_sample_sharpe"] for fold in folds]
    test = [fold["out_of_sample_sharpe"] for fold in folds]
    table = great_table(
        {
            "trained on": [_span(fold, "train") for fold in folds],
            "traded on": [_span(fold, "test") for fold in folds],
            "Sharpe in training": [metric_text("sharpe", v) for v in train],
            "Sharpe traded": [metric_text("sharpe", v) for v in test],
            "trades": [metric_text("trades", fold["trades"]) for fold in folds],
            "what was chosen": [_choice_text(fold["params"], same) for fold in folds],
        },
        f"{key}-walk-forward",
        left=("trained on", "traded on", "what was chosen"),
    )
    labels = [date(fold["test_first_ms"]) for fold in folds]
    chart = ""  # the table beside it says the same
    if not _SMALL.get():
        shown = figure(labels, np.array(train), np.array(test), metric="sharpe")
        chart = _chart(shown, f"{key}-walk-forward-chart")
    held = _paragraph(f"In every window: {_params_text(same)}." if same else "", "note")
    return _block("Walk-forward with refit", chart + table + held, section.walk_forward_note)


def surface(section: Section, key: str) -> str:
    """The planes of the surface, each with a static picture for readers without scripts."""
    if not section.planes:
        return ""
    parts = [_plane(plane, f"{key}-plane-{k}") for k, plane in enumerate(section.planes)]
    return _block("Surface", "".join(parts), "")


def members(section: Section, key: str) -> str:
    """The members of an ensemble, the best first."""
    found = section.members
    if found is None:
        return ""
    held = _paragraph(f"In every member: {_params_text(found.same)}." if found.same else "", "note")
    table = great_table(found.columns, f"{key}-members", left=("place",))
    return _block(f"{len(found)} members, traded together", table + held, found.note)


def cell(section: Section, key: str) -> str:
    """The chosen parameters, their plateau, the slices through them and their neighbours."""
    chosen = section.cell
    if chosen is None:
        return ""
    parts = [_parameters(chosen, key)]
    if chosen.profiles:
        from quantlab.figures.slices import slices
        from quantlab.figures.slices_svg import slices_svg

        title = f"{metric_style(chosen.metric).label} along each parameter, the others held (shaded: plateau)"
        shown: dict[str, Any] = {"metric": chosen.metric, "title": title}
        parts.append(
            _picture(
                lambda: slices(chosen.profiles, **shown),
                lambda: slices_svg(chosen.profiles, **shown),
                f"{key}-slices",
            )
        )
    if chosen.metrics:
        parts.append("<h4>All its figures</h4>" + _pairs(chosen.metrics))
    if chosen.neighbours is not None and len(chosen.neighbours):
        columns = text_columns(chosen.neighbours)
        parts.append(f"<h4>Neighbours, one step away</h4>{long_table(columns, left=('parameter',))}")
    title = section.subject.removeprefix("the ").capitalize()
    return _block(title, "".join(parts), chosen.note)


def equity_curve(section: Section, key: str) -> str:
    """Equity over the market, with the drawdown below."""
    curve: EquityCurve | None = section.curve
    if curve is None:
        return ""
    from quantlab.figures.equity import equity
    from quantlab.figures.time_svg import equity_svg

    shown = curve.timestamps_ms, curve.equity, curve.market
    chart = _picture(lambda: equity(*shown, spans=curve.spans), lambda: equity_svg(*shown), f"{key}-equity")
    return _block("Equity and drawdown", chart, curve.note)


def fills_and_costs(section: Section, key: str) -> str:
    """One cell under three fill assumptions, and what every trade was charged."""
    parts = []
    if section.fills:
        metrics = list(dict.fromkeys(name for row in section.fills.values() for name in row))
        columns = {"assumption": list(section.fills)}
        columns |= {
            label(name): [metric_text(name, row.get(name)) for row in section.fills.values()]
            for name in metrics
        }
        columns["what it assumes"] = [_FILLS.get(name, "") for name in section.fills]
        parts.append(great_table(columns, f"{key}-fills", left=("assumption", "what it assumes")))
    if section.costs:
        parts.append("<h4>Costs charged</h4>" + _pairs(section.costs))
    note = "Fills of the best member; every member is charged these costs." if section.members else ""
    return _block("Fill assumptions and costs", "".join(parts), note) if parts else ""


def regimes(section: Section, key: str) -> str:
    """One cell by the regime in which its trades were decided."""
    if not section.regimes:
        return ""
    metrics = list(dict.fromkeys(name for row in section.regimes.values() for name in row))
    columns = {"regime": list(section.regimes)}
    columns |= {
        label(name): [metric_text(name, row.get(name)) for row in section.regimes.values()]
        for name in metrics
    }
    note = (
        f"Trades of {section.subject}, each in the regime that was known when it was decided. This "
        "describes; it was not tested."
    )
    return _block("By regime", great_table(columns, f"{key}-regimes", left=("regime",)), note)


def trades(section: Section, key: str) -> str:
    """Every trade, and close-ups of some."""
    parts = [_close_up(close_up, f"{key}-close-up-{k}") for k, close_up in enumerate(section.close_ups)]
    count = 0 if section.trades is None else len(section.trades)
    if count:
        columns = text_columns(section.trades)
        parts.append(long_table(columns, left=("side", "entry (UTC)", "exit (UTC)", "exit by")))
    note = f"All {count:,} trades of {section.subject}, costs included." if count else ""
    return _block("Trades", "".join(parts), note) if parts else ""


def market(section: Section, key: str) -> str:
    """The market and the state of its data."""
    parts = [_pairs(section.market)] if section.market else []
    if section.quality:
        what, many, where = zip(*section.quality, strict=True)
        columns = {"what": what, "how many": many, "where": where}
        parts.append("<h4>Data quality</h4>" + great_table(columns, f"{key}-quality", left=("what", "where")))
    parts += [_paragraph(note, "warning") for note in section.quality_notes]
    return _block("Market and data", "".join(parts), "") if parts else ""


def provenance(section: Section, key: str) -> str:
    """Versions, hashes and the commands that give this run again."""
    parts = [_pairs(section.provenance, wide=True)] if section.provenance else []
    if section.commands:
        parts.append(f"<h4>Again</h4><pre>{escape(chr(10).join(section.commands))}</pre>")
    return _block("Provenance", "".join(parts), "") if parts else ""


def _plane(plane: Plane, key: str) -> str:
    from quantlab.figures.heatmap import heatmap
    from quantlab.figures.svg import heatmap_svg

    title = f"{metric_style(plane.metric).label}, {plane.title}"
    shared: dict[str, Any] = {"x_label": plane.x_label, "y_label": plane.y_label, "metric": plane.metric}
    shared |= {"marks": plane.marks, "title": title}
    place = plane.z, plane.x, plane.y
    chart = _picture(
        lambda: heatmap(*place, hover=plane.hover, **shared), lambda: heatmap_svg(*place, **shared), key
    )
    grey = (
        "" if np.isfinite(plane.z).all() else "Grey: undefined (too few trades, or a constraint forbids it). "
    )
    note = grey + plane.note
    return f"{chart}{_paragraph(note.strip(), 'note')}"


def _close_up(close_up: CloseUp, key: str) -> str:
    from quantlab.figures.candles import candles

    if _SMALL.get():
        return f'<figure class="chart">{_close_up_svg(close_up)}</figure>'
    figure = candles(
        close_up.timestamps_ms,
        close_up.open,
        close_up.high,
        close_up.low,
        close_up.close,
        entries=close_up.entries,
        exits=close_up.exits,
        levels=close_up.levels,
        title=close_up.title,
    )
    return _chart(figure, key)


def _close_up_svg(close_up: CloseUp) -> str:
    from quantlab.figures.time_svg import candles_svg

    times = np.asarray(close_up.timestamps_ms)

    def bar(moment: int) -> int:
        return int(np.clip(np.searchsorted(times, moment), 0, len(times) - 1))

    marks = [(bar(at), price, "short" if text == "short" else "long") for at, price, text in close_up.entries]
    marks += [(bar(at), price, "exit") for at, price, _ in close_up.exits]
    levels = [(bar(begin), bar(end), price, name) for begin, end, price, name in close_up.levels]
    prices = close_up.open, close_up.high, close_up.low, close_up.close
    return candles_svg(times, *prices, marks=marks, levels=levels, title=close_up.title, height=300)


def _parameters(chosen: ChosenCell, key: str) -> str:
    columns = {
        "parameter": list(chosen.params),
        "value": [param_text(v) for v in chosen.params.values()],
        "plateau": [_half_width(chosen.half_width.get(name)) for name in chosen.params],
    }
    if chosen.units:
        columns["unit"] = [chosen.units.get(name, "") for name in chosen.params]
    if chosen.meanings:
        columns["meaning"] = [chosen.meanings.get(name, "") for name in chosen.params]
    return great_table(columns, f"{key}-parameters", left=("parameter", "unit", "meaning"))


def _picture(figure: Callable[[], go.Figure], static: Callable[[], str], key: str) -> str:
    """A figure to point at, with a static one for readers without scripts; or that one alone."""
    if _SMALL.get():
        return f'<figure class="chart">{static()}</figure>'
    return f"{_chart(figure(), key)}<noscript>{static()}</noscript>"


def _chart(figure: go.Figure, key: str) -> str:
    figure.update_layout(paper_bgcolor="rgba(0,0,0,0)", modebar_remove=["zoom"])
    if figure.layout.plot_bgcolor is None:
        figure.update_layout(plot_bgcolor="rgba(0,0,0,0)")
    html: str = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        include_mathjax=False,
        div_id=key,
        config={"displayModeBar": False, "responsive": True},
    )
    return f'<figure class="chart">{html}</figure>'


def _block(title: str, body: str, note: str) -> str:
    return f"<section><h3>{escape(title)}</h3>{_paragraph(note, 'note')}{body}</section>"


def _paragraph(text: str, kind: str) -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""


def _pairs(values: Mapping[str, Any], wide: bool = False) -> str:
    pairs = "".join(
        f"<div><dt>{escape(label(name))}</dt><dd>{escape(metric_text(name, value))}</dd></div>"
        for name, value in values.items()
    )
    return f'<dl class="pairs{" wide" if wide else ""}">{pairs}</dl>'


def _span(fold: Mapping[str, Any], part: str) -> str:
    return f"{date(fold[f'{part}_first_ms'])} to {date(fold[f'{part}_last_ms'])}"


def _same_in_all(choices: list[Mapping[str, Any]]) -> dict[str, Any]:
    if len(choices) < 2:
        return {}
    return {n: v for n, v in choices[0].items() if all(choice.get(n) == v for choice in choices)}


def _choice_text(params: Mapping[str, Any] | None, same: Mapping[str, Any]) -> str:
    if params is None:
        return "nothing traded enough: flat"
    return _params_text({n: v for n, v in params.items() if n not in same}) or "as below"


def _params_text(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {param_text(value)}" for name, value in params.items())


def _half_width(value: float | int | None) -> str:
    return MISSING_TEXT if value is None else f"± {param_text(value)}"


def _four(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
