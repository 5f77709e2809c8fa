"""Planted leaks and clean strategies that look like leaks: what the look-ahead detector is measured on.

They were chosen before the detector was run on any of them. Each leak says where it leaks, and where that is
defined, how far ahead.
"""

from leaks.bases import Planted
from leaks.clean import CLEAN, HUNGRY
from leaks.fields import FIELD_LEAKS
from leaks.filters import FILTER_LEAKS
from leaks.rare import RARE_LEAKS
from leaks.samples import SAMPLE_LEAKS
from leaks.windows import WINDOW_LEAKS

LEAKS: dict[str, Planted] = {
    leak.name: leak for leak in (*WINDOW_LEAKS, *SAMPLE_LEAKS, *FILTER_LEAKS, *FIELD_LEAKS, *RARE_LEAKS)
}

__all__ = ["CLEAN", "HUNGRY", "LEAKS", "Planted"]
