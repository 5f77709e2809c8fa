"""Draw docs/regimes.svg, the picture on the page about regimes: the shipped sample.

python docs/regimes.py
"""

from __future__ import annotations

from pathlib import Path

import quantlab as ql
from quantlab.figures.time_svg import regimes_svg

COLOURS = {"bull": "#2b6cb0", "bear": "#d1730f", "sideways": "#8a929c", "volatile": "#b0416b"}


def main() -> None:
    """Detect and write the picture beside this file."""
    hours = ql.sample_candles()
    found = ql.regimes.detect(hours)
    picture = regimes_svg(
        hours.timestamps,
        hours.close,
        found.probability,
        found.label != ql.regimes.UNKNOWN,
        COLOURS,
        title="BTC/USD hours and what was known of their regime at the close of each",
    )
    Path(__file__).with_name("regimes.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
