"""The lab: what a notebook and the command line hold. It joins store, engine, gate and report."""

from __future__ import annotations

from quantlab.lab.documents import Approval
from quantlab.lab.lab import Lab, open

__all__ = ["Approval", "Lab", "open"]
