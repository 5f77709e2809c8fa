"""Settings: where the lab's state lies and which database it talks to, read from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _checkout() -> Path | None:
    """The source checkout that this package is imported from, if it is one."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "data").is_dir() else None


def _default_home() -> Path:
    checkout = _checkout()
    return checkout / "data" if checkout else Path.home() / ".quantlab"


@dataclass(frozen=True)
class Settings:
    """Where the lab keeps its state.

    Parameters
    ----------
    home : Path
        Folder for local state: the embedded server (``home/postgres``), reports (``home/reports``)
        and exported configurations (``home/configurations``). ``QUANTLAB_HOME``; by default ``data/``
        of the checkout, or ``~/.quantlab`` for an installed wheel.
    dsn : str or None
        Connection string of a PostgreSQL server (``QUANTLAB_DSN``), never shown; None starts the
        embedded one.
    """

    home: Path
    dsn: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls) -> Settings:
        """Read ``QUANTLAB_HOME`` and ``QUANTLAB_DSN``."""
        home = os.environ.get("QUANTLAB_HOME")
        return cls(
            home=Path(home).expanduser().resolve() if home else _default_home(),
            dsn=os.environ.get("QUANTLAB_DSN") or None,
        )


def sample_folder() -> Path:
    """The folder of the candles that ship with quantlab (checkout or wheel)."""
    checkout = _checkout()
    return checkout / "data" / "sample" if checkout else _PACKAGE / "_sample"
