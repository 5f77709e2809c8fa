"""The main job: from real candles to a verdict, and the same on a market whose edge is known.

`make research` runs it. It shows the lab saying "no" to a rule that looked good on real hours, and "yes"
where an edge was planted, and leaves behind a report, the candidates' rows and one exported configuration.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quantlab.backtest.plateau import Plateau
from quantlab.backtest.surface import Cell, Surface
from quantlab.lab import Approval, Lab
from quantlab.market.candles import Candles
from quantlab.market.sample import sample_candles
from quantlab.market.synthetic import planted_momentum
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import Verdict

PLANTED_SHARPE = 2.5
PLANTED_BARS = 12_045
"""5.5 years of 4-hour bars; the drift's half-life of 80 bars is about two weeks."""

_WIDTH = 110


@dataclass(frozen=True)
class Finding:
    """What one search on one market came to."""

    surface: Surface
    plateau: Plateau
    verdict: Verdict
    approval: Approval | None


@dataclass(frozen=True)
class Findings:
    """Everything a run of the main job leaves behind."""

    findings: tuple[Finding, ...]
    report: Path
    notebooks: tuple[Path, ...] = ()


def run(
    lab: Lab, *, progress: bool = True, say: Callable[[str], None] = print, notebooks: Path | None = None
) -> Findings:
    """Run the main job on a lab. A second run finds everything stored and changes nothing.

    Parameters
    ----------
    lab : Lab
    progress : bool
        Show progress bars.
    say : callable
        Receives the lines for the reader.
    notebooks : Path, optional
        Folder for an executed notebook of each approved run; by default none is made.
    """
    say(f"{lab!r}")
    sample = _stored(lab, sample_candles(), say)
    findings = [_judge(lab, name, sample, progress, say) for name in ("liquidity_sweep", "sma_cross")]
    say(f"\nThe same on a market with a planted edge: momentum with a true Sharpe of {PLANTED_SHARPE}.")
    planted = _stored(
        lab,
        planted_momentum(PLANTED_BARS, timeframe="4h", true_sharpe=PLANTED_SHARPE, half_life_bars=80),
        say,
    )
    findings.append(_judge(lab, "sma_cross", planted, progress, say))
    report = lab.report(*(f.verdict for f in findings), commands=("make research",))
    made = () if notebooks is None else tuple(_notebook(lab, f, notebooks) for f in findings if f.approval)
    _closing(lab, findings, report, made, say)
    return Findings(tuple(findings), report, made)


def _notebook(lab: Lab, finding: Finding, folder: Path) -> Path:
    """The executed notebook of an approved run."""
    from quantlab.booklets.make import APPROVED, execute

    where = finding.surface.identity
    names = {name: getattr(where, name) for name in ("exchange", "symbol", "timeframe")}
    path = folder / f"{finding.surface.strategy.name}-{finding.surface.key[:12]}.ipynb"
    return execute(APPROVED, path, {"strategy": finding.surface.strategy.name, **names}, lab.settings.home)


def _stored(lab: Lab, candles: Candles, say: Callable[[str], None]) -> Candles:
    lab.put_candles(candles)
    stored = lab.candles(candles.exchange, candles.symbol, candles.timeframe)
    say(f"\n{stored}\n  {stored.quality()}")
    return stored


def _judge(lab: Lab, strategy: str, candles: Candles, progress: bool, say: Callable[[str], None]) -> Finding:
    began = time.perf_counter()
    surface = lab.sweep(strategy, candles, progress=progress)
    seconds = time.perf_counter() - began
    say(f"\n{strategy}: {surface.size:,} cells x {len(candles):,} bars in {seconds:.2f} s")
    metric = Gate().metric
    plateau = surface.plateau(metric)
    _show_cell("peak", surface.best(metric), say)
    _show_cell("plateau", plateau.cell, say)
    around = f"{metric} {plateau.mean:.2f} on average; sharpe along each parameter (* chosen)"
    say(f"  around the plateau: {around}")
    for name, rows in plateau.neighbours.groupby("parameter", sort=False):
        line = "  ".join(
            f"{'*' if r.chosen else ''}{_text(r.value)}: {r.sharpe:.2f}" for r in rows.itertuples()
        )
        say(f"    {name:16s} {line}")
    verdict = lab.validate(surface, candles, progress=progress)
    say("  APPROVED" if verdict.approved else "  REFUSED")
    for reason in verdict.reasons:
        say(textwrap.fill(reason, _WIDTH, initial_indent="    - ", subsequent_indent="      "))
    approval = None
    if verdict.approved:
        approval = lab.approve(verdict, by="make research", reason="demonstration on a planted edge")
    return Finding(surface, plateau, verdict, approval)


def _show_cell(name: str, cell: Cell, say: Callable[[str], None]) -> None:
    m = cell.metrics
    figures = f"timing t {m['timing_t']:.2f}, sharpe {m['sharpe']:.2f}, net profit {m['net_profit']:+.1%}"
    say(f"  {name:8s} {figures}, {m['trades']:.0f} trades")
    params = ", ".join(f"{parameter} {_text(value)}" for parameter, value in cell.params.items())
    say(textwrap.fill(params, _WIDTH, initial_indent=" " * 11, subsequent_indent=" " * 11))


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _closing(
    lab: Lab,
    findings: list[Finding],
    report: Path,
    notebooks: tuple[Path, ...],
    say: Callable[[str], None],
) -> None:
    say("\nWhere everything lies")
    say(f"  report          {report}")
    for finding in findings:
        if finding.approval:
            say(f"  configuration   {finding.approval.path}")
    for notebook in notebooks:
        say(f"  notebook        {notebook}")
    say(f"  database        {lab!r}")
    say("Next: `make lab` opens notebooks/01_first_sweep.ipynb; `quantlab --help` lists the same verbs.")
