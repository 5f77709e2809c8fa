"""Tables of a report: every cell is text before it gets here, and every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.backtest.metrics import METRICS
from quantlab.backtest.trades import OPEN, REASONS
from quantlab.figures.labels import MISSING_TEXT, metric_style, metric_text, number_text

if TYPE_CHECKING:
    import pandas as pd

BADGES = {
    True: '<span class="badge pass">pass</span>',
    False: '<span class="badge fail">fail</span>',
    None: '<span class="badge note">reported</span>',
}


def great_table(
    columns: Mapping[str, Sequence[str]], table_id: str, *, left: Iterable[str] = (), badge: str | None = None
) -> str:
    """A small table, set by great-tables.

    Parameters
    ----------
    columns : mapping of label to texts
        All of one length.
    table_id : str
        Unique in the page; fixes the output's bytes.
    left : iterable of str
        Labels of the columns set flush left; the others are figures and stand flush right.
    badge : str, optional
        Label of a column whose texts are "True", "False" or "None", shown as pass, fail or reported.

    Returns
    -------
    str
        HTML.
    """
    import pandas as pd
    from great_tables import GT

    left = list(left)
    table = GT(pd.DataFrame(dict(columns), dtype=str), id=table_id)
    table = table.cols_align("right", [c for c in columns if c not in left])
    table = table.cols_align("left", [c for c in columns if c in left])
    if badge:
        known = {str(key): text for key, text in BADGES.items()}
        table = table.fmt(lambda value: known[value], columns=badge)
    html: str = table.tab_options(table_width="100%", table_font_size="14px").as_raw_html()
    return f'<div class="table">{html}</div>'


def long_table(columns: Mapping[str, Sequence[str]], *, left: Iterable[str] = ()) -> str:
    """A table of any length in a box that scrolls (great-tables needs milliseconds a row, this none).

    Parameters
    ----------
    columns : mapping of label to texts
    left : iterable of str
        Labels of the columns set flush left.
    """
    left = set(left)
    sides = ["l" if name in left else "r" for name in columns]
    rows = "\n".join(_row("td", row, sides) for row in zip(*columns.values(), strict=True))
    head = _row("th", columns, sides)
    table = f'<table class="long"><thead>{head}</thead><tbody>\n{rows}\n</tbody></table>'
    return f'<div class="table scroll">{table}</div>'


def text_columns(frame: Any) -> dict[str, list[str]]:
    """Any frame as columns of text: metrics in their own form, times as dates, the rest as plain numbers.

    Parameters
    ----------
    frame : anything that ``pandas.DataFrame`` takes

    Returns
    -------
    dict of label to list of str
    """
    import pandas as pd

    table = pd.DataFrame(frame)
    return {label(str(name)): [_cell(str(name), v) for v in table[name].tolist()] for name in table.columns}


def label(name: str) -> str:
    """The label of a metric by its name; any other name as it is."""
    return metric_style(name).label if name in METRICS or name == "score" else name


def date(ms: int) -> str:
    """The UTC date of a time in epoch milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")


def minute(ms: int) -> str:
    """The UTC date and minute of a time in epoch milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def param_text(value: Any) -> str:
    """A parameter's value: at most six significant digits."""
    value = value.item() if isinstance(value, np.generic) else value
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def trade_rows(trades: np.ndarray, timestamps_ms: np.ndarray) -> pd.DataFrame:
    """The trades of a run as a reader wants them.

    Parameters
    ----------
    trades : record array of `quantlab.backtest.trades.TRADE_DTYPE`
    timestamps_ms : int64 array of shape (n_bars,)
        Open times of the bars.

    Returns
    -------
    pandas.DataFrame
        A row a trade, columns ready for `Section.trades`; an open trade has no exit.
    """
    import pandas as pd

    is_open = trades["reason"] == OPEN
    left = [
        MISSING_TEXT if o else minute(int(t))
        for o, t in zip(is_open, timestamps_ms[trades["exit_bar"]], strict=True)
    ]
    return pd.DataFrame(
        {
            "#": np.arange(1, len(trades) + 1),
            "side": np.where(trades["side"] > 0, "long", "short"),
            "entry (UTC)": [minute(int(t)) for t in timestamps_ms[trades["entry_bar"]]],
            "exit (UTC)": left,
            "exit by": np.asarray(REASONS)[trades["reason"]],
            "bars": trades["bars_held"],
            "entry price": trades["entry_price"],
            "exit price": trades["exit_price"],
            "before costs": [f"{100 * v:+.2f}%".replace("-", "−") for v in trades["gross_return"]],
            "after costs": [f"{100 * v:+.2f}%".replace("-", "−") for v in trades["trade_return"]],
            "equity after": [f"{v:.4f}" for v in trades["equity_before"] + trades["profit"]],
        }
    )


def _row(tag: str, texts: Iterable[str], sides: Sequence[str]) -> str:
    cells = (f'<{tag} class="{k}">{escape(text)}</{tag}>' for k, text in zip(sides, texts, strict=True))
    return f"<tr>{''.join(cells)}</tr>"


def _cell(name: str, value: Any) -> str:
    if name in METRICS or name == "score":
        return metric_text(name, value)
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, str) or value is None:
        return value or MISSING_TEXT
    if hasattr(value, "strftime"):
        return str(value.strftime("%Y-%m-%d %H:%M"))
    return number_text(value)
