"""Write docs/strategies/: a page and a picture for every strategy of the library.

Nothing on these pages is typed by hand: the rule is the docstring, the table is the space, the figures and
the picture are a run on the shipped sample. tests/test_strategy_pages.py compares.

    python docs/strategies.py
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import quantlab as ql
from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.backtest.trades import REASONS, Run
from quantlab.figures.labels import metric_style, metric_text
from quantlab.figures.thin import group_candles
from quantlab.figures.time_svg import candles_svg
from quantlab.indicators import ema, resistance, rolling_max, rolling_min, rolling_std, shift, sma, support
from quantlab.signals import Signals, Strategy
from quantlab.space import Choice

FOLDER = Path(__file__).with_name("strategies")
CANDLES = 170
BEFORE, AFTER = 50, 15
FIGURES = ("trades", "win_rate", "net_profit", "sharpe", "max_drawdown", "exposure")
Lines = dict[str, np.ndarray]


def library() -> list[str]:
    """Names of the strategies that ship with the package, sorted."""
    found = (strategies.get(name) for name in strategies.names())
    return [one.name for one in found if one.signals.__module__.startswith("quantlab.strategies")]


@cache
def hours() -> ql.Candles:
    """The shipped sample."""
    return ql.sample_candles()


def defaults(strategy: Strategy) -> dict[str, Any]:
    """The default of every parameter."""
    return {parameter.name: parameter.default for parameter in strategy.space.parameters}


@cache
def run(name: str) -> Run:
    """The defaults on the sample, costs charged."""
    strategy = strategies.get(name)
    return run_cell(strategy, hours(), defaults(strategy))


def page(name: str) -> str:
    """The page of a strategy, Markdown."""
    strategy = strategies.get(name)
    lead, rule, tail = parts(sys.modules[strategy.signals.__module__].__doc__ or "")
    shown = [
        f"# {name}",
        lead,
        f"![{name} on BTC/USD hours]({name}.svg)",
        f"*{caption(name)}*",
        "## The rule",
        rule,
        "## When it is known",
        f"{tail['Known at']} Warm-up: {tail['Warm-up']}",
        *([tail["notes"]] if tail.get("notes") else []),
        "## Parameters",
        table(strategy),
        reference(strategy),
        "## What was left out",
        tail["Left out"],
        "## On the sample",
        sample(name),
        "## Source",
        tail["Source"],
    ]
    return "\n\n".join(shown) + "\n"


def parts(docstring: str) -> tuple[str, str, dict[str, str]]:
    """First paragraphs, rule, and what follows by its keyword, such as "Known at" and "Left out"."""
    body, _, tail = docstring.strip().partition("\n\nKnown at:")
    first_item = re.search(r"^1\. ", body, re.MULTILINE)
    if first_item is None:
        raise ValueError(f"a strategy's docstring has a numbered rule, got {docstring[:60]!r}.")
    paragraphs = body[: first_item.start()].strip().split("\n\n")
    lead = [p for p in paragraphs if not p.endswith(":")]
    rule = [p for p in paragraphs if p.endswith(":")] + [body[first_item.start() :]]
    pieces = re.split(r"(Known\s+at|Warm-up|Left\s+out|Source):\s", "Known at: " + tail.strip())
    found = {re.sub(r"\s+", " ", k): v.strip() for k, v in zip(pieces[1::2], pieces[2::2], strict=True)}
    found["Warm-up"], _, found["notes"] = found["Warm-up"].partition("\n\n")
    capital = {name: text[:1].upper() + text[1:] for name, text in found.items()}
    capital["Warm-up"] = found["Warm-up"]
    return "\n\n".join(lead), re.sub(r"([:;])\n {3}(?=0\.)", r"\1\\\n   ", "\n\n".join(rule)), capital


def table(strategy: Strategy) -> str:
    """The parameters as a table."""
    if not strategy.space.parameters:
        return "None."
    rows = [
        "| parameter | role | range | default | unit | meaning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for p in strategy.space.parameters:
        choices = isinstance(p, Choice)
        span = ", ".join(p.options) if isinstance(p, Choice) else f"{p.low:g} to {p.high:g}"
        default = p.default if choices else f"{p.default:g}"
        rows.append(f"| `{p.name}` | {p.role} | {span} | {default} | {p.unit} | {p.meaning} |")
    clauses = " and ".join(f"`{clause}`" for clause in strategy.space.constraints)
    return "\n".join(rows) + (f"\n\nOnly cells with {clauses} are evaluated." if clauses else "")


def reference(strategy: Strategy) -> str:
    """The reference grid in a sentence."""
    if not strategy.space.parameters:
        return f'There is one cell: `ql.sweep("{strategy.name}", candles)`.'
    axes = " x ".join(f"`{name}` {len(values)}" for name, values in strategy.grid().axes.items())
    return f'`ql.sweep("{strategy.name}", candles)` evaluates the {strategy.grid().size:,} cells of {axes}.'


def caption(name: str) -> str:
    """What the picture shows."""
    trade, count = middling(name), len(run(name).closed)
    if trade is None:
        return "The whole sample." if name == "flat" else "The whole sample, held from the second bar on."
    side, result = (
        ("long" if trade["side"] > 0 else "short"),
        metric_text("net_profit", trade["trade_return"]),
    )
    return (
        f"The middling of {count} trades by return, at the defaults: {side}, {trade['bars_held']} bars, "
        f"{result} by {REASONS[trade['reason']]}. The triangle is the bar that decides, the cross the exit."
    )


def sample(name: str) -> str:
    """The figures of the defaults on the sample."""
    found = run(name).metrics
    head = " | ".join(metric_style(metric).label for metric in FIGURES)
    row = " | ".join(metric_text(metric, found[metric]) for metric in FIGURES)
    line = " | ".join("---:" for _ in FIGURES)
    first, last = (
        str(np.datetime64(ms, "ms"))[:10] for ms in (hours().first_ms, hours().last_ms)
    )  # no zone: UTC
    return (
        f"Defaults, {len(hours()):,} hours of BTC/USD from {first} to {last}, 0.1 % fees a side and 2 basis "
        f"points of slippage:\n\n| {head} |\n| {line} |\n| {row} |\n\n"
        "One setting on one market shows how a rule behaves. It is no evidence that it earns: that is what "
        "the gate is for ([honesty.md](../honesty.md))."
    )


def middling(name: str) -> Any:
    """The closed trade with the median return; None without one."""
    closed = run(name).closed
    return (
        closed[np.argsort(closed["trade_return"], kind="stable")[len(closed) // 2]] if len(closed) else None
    )


def picture(name: str) -> str:
    """Candles around the middling trade: its decision, exit and levels, and what the rule looks at."""
    candles, trade = hours(), middling(name)
    first, last = 0, len(candles)
    if trade is not None:
        first = max(0, int(trade["decision_bar"]) - BEFORE)
        last = min(len(candles), int(trade["exit_bar"]) + AFTER)
    columns = (candles.timestamps, candles.open, candles.high, candles.low, candles.close)
    drawn, size = group_candles(tuple(c[first:last] for c in columns), CANDLES)
    lines = {label: values[first:last][::size] for label, values in overlays(name).items()}
    marks, levels = fills(name, trade, first, size, len(drawn[0])) if trade is not None else ([], [])
    volume = np.add.reduceat(np.nan_to_num(candles.volume[first:last]), np.arange(0, last - first, size))
    merged = f", {size} hours a candle" if size > 1 else ""
    return candles_svg(
        *drawn, volume, marks=marks, lines=lines, levels=levels, title=f"{name} on BTC/USD hours{merged}"
    )


def fills(name: str, trade: Any, first: int, size: int, drawn: int) -> tuple[list[Any], list[Any]]:
    """Marks and levels of a trade in bars of the picture."""
    candles, strategy = hours(), strategies.get(name)
    decided, entered, left = (int(trade[f"{bar}_bar"]) for bar in ("decision", "entry", "exit"))
    place = {bar: (bar - first) // size for bar in (decided, entered, left)}
    side = 1 if trade["side"] > 0 else -1
    at = candles.low[decided] if side > 0 else candles.high[decided]
    marks = [(place[decided], float(at), "long" if side > 0 else "short")]
    marks.append((place[left], float(trade["exit_price"]), "exit"))
    signals = strategy.signals(candles, strategy.space.points([defaults(strategy)]).params())
    levels = []
    for label, sign in (("stop", -1), ("target", 1)):
        distance = distances(signals, label)
        if distance is not None:
            price = float(candles.open[entered] + side * sign * distance[decided])
            levels.append((place[entered], min(place[left] + 1, drawn - 1), price, label))
    return marks, levels


def distances(signals: Signals, label: str) -> np.ndarray | None:
    """Stop or target of the one cell, per bar."""
    found = getattr(signals, label)
    return None if found is None else np.broadcast_to(np.asarray(found, float), (1, len(hours())))[0]


def overlays(name: str) -> Lines:
    """The lines that the rule of a strategy looks at, at its defaults."""
    draw = OVERLAYS.get(name)
    return (
        draw(hours(), {k: np.array([[v]]) for k, v in defaults(strategies.get(name)).items()}) if draw else {}
    )


def _levels(c: ql.Candles, p: Mapping[str, np.ndarray]) -> Lines:
    how = p["level_lookback"], p["min_touches"], p["level_tolerance"]
    floor, ceiling = shift(support(c.low, *how), 1), shift(resistance(c.high, *how), 1)
    return {"level below": floor.ravel(), "level above": ceiling.ravel()}


def _bands(c: ql.Candles, p: Mapping[str, np.ndarray]) -> Lines:
    mean, spread = sma(c.close, p["window"]).ravel(), rolling_std(c.close, p["window"]).ravel()
    wide = p["deviation"].item() * spread
    return {"mean": mean, "mean - deviation": mean - wide, "mean + deviation": mean + wide}


def _channel(bars: str) -> Callable[[ql.Candles, Mapping[str, np.ndarray]], Lines]:
    def draw(c: ql.Candles, p: Mapping[str, np.ndarray]) -> Lines:
        top, bottom = rolling_max(c.high, p[bars]), rolling_min(c.low, p[bars])
        return {f"highest of {p[bars].item()}": shift(top, 1).ravel(), "lowest": shift(bottom, 1).ravel()}

    return draw


OVERLAYS: dict[str, Callable[[ql.Candles, Mapping[str, np.ndarray]], Lines]] = {
    "breakout": _channel("period"),
    "divergence_capitulation": lambda c, p: {
        "EMA50": ema(c.close, 50).ravel(),
        "EMA200": ema(c.close, 200).ravel(),
    },
    "failed_breakdown": _channel("range_lookback"),
    "liquidity_sweep": _levels,
    "mean_reversion": _bands,
    "momentum": lambda c, p: {"close, lookback bars ago": shift(c.close, p["lookback"].item())},
    "sma_cross": lambda c, p: {n: sma(c.close, p[n]).ravel() for n in ("fast", "slow")},
    "volume_breakout": _channel("consolidation_bars"),
}


def index() -> str:
    """The table of all pages."""
    rows = ["| strategy | idea | cells | trades on the sample |", "| --- | --- | ---: | ---: |"]
    for name in library():
        lead = parts(sys.modules[strategies.get(name).signals.__module__].__doc__ or "")[0]
        idea = " ".join(lead.split("\n\n")[0].split()).partition(": ")[2] or lead.split("\n\n")[0]
        cells, trades = strategies.get(name).grid().size, len(run(name).closed)
        rows.append(f"| [{name}]({name}.md) | {idea} | {cells:,} | {trades:,} |")
    return (
        "# Strategies\n\nWritten by `docs/strategies.py` from the code of each strategy and a run of its "
        "defaults on the shipped sample.\n`cells` is the size of the reference grid. "
        "[Write your own](../write-a-strategy.md).\n\n" + "\n".join(rows) + "\n"
    )


def files() -> dict[str, Callable[[], str]]:
    """Every file of the folder by its name, and what makes it."""
    made: dict[str, Callable[[], str]] = {"README.md": index}
    for name in library():
        made |= {f"{name}.md": lambda n=name: page(n), f"{name}.svg": lambda n=name: picture(n)}
    return made


def main() -> None:
    """Write the folder anew."""
    FOLDER.mkdir(exist_ok=True)
    for file, make in files().items():
        (FOLDER / file).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
