"""Conditions that are kept in parts and packed into bits along time, so that their product is never held.

A clause stands wherever a boolean array ``(parameter axes..., n_bars)`` may stand in an entry signal, and
``np.asarray(clause)`` is that array.
"""

from quantlab.clauses.clause import AllOf, Bits, Clause, FromBar, all_of, row_of, words_of
from quantlab.clauses.comparison import Comparison, above, below, crossed_above, crossed_below

__all__ = [
    "AllOf",
    "Bits",
    "Clause",
    "Comparison",
    "FromBar",
    "above",
    "all_of",
    "below",
    "crossed_above",
    "crossed_below",
    "row_of",
    "words_of",
]
