"""Draw docs/heatmap.svg, the picture in the README: the reference grid on the shipped sample.

python docs/heatmap.py
"""

from __future__ import annotations

from pathlib import Path

import quantlab as ql
from quantlab.figures.svg import heatmap_svg

X, Y = "pierce_depth", "reversal_size"


def main() -> None:
    """Sweep, reduce to two axes and write the picture beside this file."""
    surface = ql.sweep("liquidity_sweep", ql.sample_candles())
    peak, plateau = surface.best(), surface.plateau().cell
    picture = heatmap_svg(
        surface.plane("sharpe", X, Y, "max"),
        surface.axes[X],
        surface.axes[Y],
        x_label=X,
        y_label=Y,
        metric="sharpe",
        marks=[
            (cell.params[X], cell.params[Y], name) for name, cell in (("peak", peak), ("plateau", plateau))
        ],
        title="liquidity_sweep on BTC/USD hours: best Sharpe over the five other axes",
    )
    Path(__file__).with_name("heatmap.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
