"""A verdict as text and as a compact table for a notebook or a report: no scripts, nothing loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from quantlab.figures.nulls import nulls_svg
from quantlab.figures.svg_parts import svg_image
from quantlab.market.candles import iso

if TYPE_CHECKING:
    from quantlab.validation.rerun import Rerun
    from quantlab.validation.verdict import Test, Verdict
    from quantlab.validation.walkforward import Fold

MARKS = {True: "yes", False: "no", None: "·"}
COLOURS = {True: "#1a7f37", False: "#b42318", None: "#6b7280"}
TEST_HEAD = ("", "test", "value", "threshold", "what it says", "seconds")
FOLD_HEAD = ("trained to", "traded from", "traded to", "Sharpe past", "Sharpe then", "trades", "chosen")
_STYLE = "text-align:left;vertical-align:top;padding:2px 10px 2px 0"


def text(verdict: Verdict) -> str:
    """The verdict as plain text: headline, reasons, a line per test, a line per fold."""
    decisive, reported = _parted(verdict)
    lines = [headline(verdict), *(f"  - {reason}" for reason in verdict.reasons)]
    lines += ["", said] if (said := luck(verdict.evidence.nulls)) else []
    lines += ["", "What decides", *(_line(test) for test in decisive)]
    lines += ["", "What is reported and decides nothing", *(_line(test) for test in reported)]
    lines += ["", "Walk-forward: chosen on the past, traded on the window"]
    folds = [FOLD_HEAD, *_folds(verdict)]
    return "\n".join(lines + ["".join(f"{cell:>13}" for cell in row[:-1]) + f"  {row[-1]}" for row in folds])


def html(verdict: Verdict) -> str:
    """The verdict as one HTML fragment with its styles inline; every text in it is escaped."""
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in verdict.reasons)
    decisive, reported = (
        "".join(_row(_test(test), colour=COLOURS[test.passed]) for test in part) for part in _parted(verdict)
    )
    folds = "".join(_row(fold) for fold in _folds(verdict))
    return (
        f"<div style='max-width:75em'><p style='color:{COLOURS[verdict.approved]};font-weight:bold'>"
        f"{escape(headline(verdict))}</p><ul>{reasons}</ul>{_luck(verdict.evidence.nulls)}"
        f"<table>{_row(TEST_HEAD, 'th')}{decisive}</table>"
        "<details><summary>What is reported and decides nothing</summary>"
        f"<table>{_row(TEST_HEAD, 'th')}{reported}</table></details>"
        "<details><summary>Walk-forward: chosen on the past, traded on the window</summary>"
        f"<table>{_row(FOLD_HEAD, 'th')}{folds}</table></details></div>"
    )


def headline(verdict: Verdict) -> str:
    """One line: approved or refused, which strategy with which parameters, on which market."""
    market, what = verdict.market, _params(verdict.cell.params)
    if verdict.members:
        what = f"an ensemble of {len(verdict.members)} cells, the best of them {what}"
    return (
        f"{'APPROVED' if verdict.approved else 'REFUSED'}: {verdict.strategy} ({what}) on "
        f"{market['exchange']} {market['symbol']} {market['timeframe']}, {_date(market['first_ms'])} to "
        f"{_date(market['last_ms'])}"
    )


def luck(nulls: Rerun | None) -> str:
    """What noise alone gives, in one sentence; empty if no market without an edge was drawn."""
    if nulls is None or not nulls.drawn:
        return ""
    counts = " and ".join(
        f"{null.as_good:,} of {len(null.scores):,} {null.word} markets"
        for null in nulls.nulls
        if len(null.scores)
    )
    return (
        f"This is what noise alone gives: the same search did as well or better on {counts}, which are made "
        "of this one so that nothing can be earned on them."
    )


def _luck(nulls: Rerun | None) -> str:
    if nulls is None or not nulls.drawn:
        return ""
    drawing = svg_image(nulls_svg(nulls.drawn, nulls.real, width=640), "what luck finds")
    return f"<p>{escape(luck(nulls))}</p>{drawing}"


def _parted(verdict: Verdict) -> tuple[list[Test], list[Test]]:
    """Tests that decide, and those that are only reported."""
    tests = verdict.evidence.tests
    return [t for t in tests if t.passed is not None], [t for t in tests if t.passed is None]


def _line(test: Test) -> str:
    mark, title, value, threshold, detail, _ = _test(test)
    return f"  {mark:>3}  {title:<43} {value:>8} {threshold:>6}  {detail}"


def _test(test: Test) -> tuple[str, ...]:
    numbers = (_number(test.value), _number(test.threshold))
    return MARKS[test.passed], test.title, *numbers, test.detail, f"{test.seconds:.2f}"


def _folds(verdict: Verdict) -> list[tuple[str, ...]]:
    """The walk-forward table; of the chosen parameters those that some fold chose differently."""
    folds, chosen = verdict.evidence.walk_forward.folds, verdict.cell.params
    others = [fold.params for fold in folds if fold.params is not None]
    changed = [name for name in chosen if any(params[name] != chosen[name] for params in others)]
    return [_fold(fold, changed) for fold in folds]


def _fold(fold: Fold, changed: Sequence[str]) -> tuple[str, ...]:
    if fold.params is None:
        chosen = "nothing: stayed flat"
    else:
        chosen = _params({name: fold.params[name] for name in changed}) or "the same every time"
    return (
        *(_date(ms) for ms in (fold.train_last_ms, fold.test_first_ms, fold.test_last_ms)),
        _number(fold.in_sample_sharpe),
        _number(fold.out_of_sample_sharpe),
        f"{fold.trades:,}",
        chosen,
    )


def _row(cells: Sequence[str], tag: str = "td", colour: str = "inherit") -> str:
    first = f"<{tag} style='{_STYLE};color:{colour}'>{escape(cells[0])}</{tag}>"
    return f"<tr>{first}{''.join(f'<{tag} style={_STYLE!r}>{escape(c)}</{tag}>' for c in cells[1:])}</tr>"


def _params(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items())


def _date(ms: int) -> str:
    return iso(ms)[:10]


def _number(value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"
