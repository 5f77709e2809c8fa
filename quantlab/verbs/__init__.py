"""The verbs of the command line, one module for what they are about; each registers itself with `app`."""

from __future__ import annotations

from typing import Annotated

import typer

from quantlab.terminal import group

app = group("A strategy research lab for crypto. Every verb takes --json.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
