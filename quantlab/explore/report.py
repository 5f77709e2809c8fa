"""The one-file report of a run: open it anywhere, send it to anyone; it asks nothing of the network.

`lab` fills a `ReportData`; `render` makes the page, `write` puts it on disk. The same data give the
same bytes.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from html import escape
from pathlib import Path

from quantlab.explore import blocks
from quantlab.explore.data import (
    ChosenCell,
    CloseUp,
    EquityCurve,
    EvidenceRow,
    Luck,
    Members,
    Plane,
    ReportData,
    Section,
)
from quantlab.explore.page import page

__all__ = [
    "ChosenCell",
    "CloseUp",
    "EquityCurve",
    "EvidenceRow",
    "Luck",
    "Members",
    "Plane",
    "ReportData",
    "Section",
    "render",
    "write",
]


def render(report: ReportData, small: bool = False) -> str:
    """The report as one self-contained HTML document.

    Parameters
    ----------
    report : ReportData
    small : bool
        With static pictures and without any script.

    Returns
    -------
    str
        About 5 MB, nearly all of it plotly.js; a small one some 100 kB. Every text of the report is escaped.
    """
    with blocks.small() if small else nullcontext():
        parts = [_section(section, f"s{k}") for k, section in enumerate(report.sections)]
    parts.insert(0, _header(report))
    parts.append(
        "<footer>Made by quantlab. Past results say little about future ones; this is no advice.</footer>"
    )
    return page(report.title, "\n".join(parts), scripts=not small)


def write(report: ReportData, path: str | os.PathLike[str], small: bool = False) -> Path:
    """Render the report into a file, all of it or nothing.

    Parameters
    ----------
    report : ReportData
    path : path-like
        Folders are made as needed. An older file of that name stays untouched until the new one is
        complete.
    small : bool
        As of `render`.

    Returns
    -------
    pathlib.Path
        The file, absolute.

    Raises
    ------
    OSError
        When the disk is full or the folder cannot be written; nothing is left behind.
    """
    target = Path(path).absolute()
    content = render(report, small)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _header(report: ReportData) -> str:
    single = len(report.sections) == 1
    title = report.title if single else _tally(report)
    intro = f'<p class="lead">{escape(report.introduction)}</p>' if report.introduction else ""
    contents = "" if single else _contents(report)
    kicker = '<p class="kicker">quantlab research report</p>'
    return f"<header>{kicker}<h1>{escape(title)}</h1>{intro}{contents}</header>"


def _contents(report: ReportData) -> str:
    items = "".join(
        f'<li class="{s.verdict.lower()}"><a href="#s{k}"><b>{s.verdict}</b>'
        f"<span>{escape(s.strategy)} on {escape(s.market_name)}</span></a></li>"
        for k, s in enumerate(report.sections)
    )
    return f"<nav><ol>{items}</ol></nav>"


def _tally(report: ReportData) -> str:
    approved = sum(section.approved for section in report.sections)
    return f"{approved} of {len(report.sections)} runs approved"


def _section(section: Section, key: str) -> str:
    kind = section.verdict.lower()
    body = (
        blocks.verdict(section),
        blocks.luck(section, key),
        blocks.evidence(section, key),
        blocks.walk_forward(section, key),
        blocks.surface(section, key),
        blocks.members(section, key),
        blocks.cell(section, key),
        blocks.equity_curve(section, key),
        blocks.fills_and_costs(section, key),
        blocks.regimes(section, key),
        blocks.market(section, key),
        blocks.trades(section, key),
        blocks.provenance(section, key),
    )
    heading = f"{section.strategy} on {section.market_name}"
    return f'<article id="{key}" class="{kind}"><h2>{escape(heading)}</h2>{"".join(body)}</article>'
