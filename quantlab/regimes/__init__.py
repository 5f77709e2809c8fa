"""Market regimes without look-ahead: ``ql.regimes.detect(candles)``. See docs/regimes.md."""

from quantlab.regimes.detect import UNKNOWN, Regimes, detect
from quantlab.regimes.model import DURATION_BARS, REGIMES, Model, fit, fixed

__all__ = ["DURATION_BARS", "REGIMES", "UNKNOWN", "Model", "Regimes", "detect", "fit", "fixed"]
