"""The page around the sections: one file, no request to anywhere, light and dark, screen, phone and paper."""

from __future__ import annotations

from html import escape
from pathlib import Path

_STYLE = Path(__file__).with_name("report.css")

_FIT_TO_PAPER = """
const fit = size => document.querySelectorAll(".js-plotly-plot").forEach(c => Plotly.relayout(c, size));
addEventListener("beforeprint", () => fit({width: 680}));
addEventListener("afterprint", () => fit({width: null, autosize: true}));
"""

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def page(title: str, body: str, scripts: bool = True) -> str:
    """A whole HTML document around `body`; its own policy forbids the browser every request.

    Parameters
    ----------
    title : str
        Escaped here.
    body : str
        HTML.
    scripts : bool
        Whether the body holds figures of plotly; else the page runs no script at all.
    """
    head, end, policy = "", "", _POLICY.replace("script-src 'unsafe-inline'; ", "")
    if scripts:
        from plotly.offline import get_plotlyjs

        head, end = f"<script>{get_plotlyjs()}</script>\n", f"<script>{_FIT_TO_PAPER}</script>\n"
        policy = _POLICY
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n"
        f"{head}</head>\n<body>\n<main>\n{body}\n</main>\n{end}</body>\n</html>\n"
    )
