"""Where a configuration comes from: release, commit, packages, and the engine's own source."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from quantlab.backtest.engine import engine_hash

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Provenance:
    """What produced a configuration.

    Parameters
    ----------
    version : str
        Release of quantlab.
    commit : str or None
        Commit of the checkout, 40 hex digits; None outside a git checkout.
    dirty : bool or None
        Whether the package's files differ from that commit; None outside a git checkout.
    environment_hash : str
        SHA-256 (hex) of the Python version and of every installed package's name and version.
    engine_hash : str
        SHA-256 (hex) of the source files that decide what a cell earns.
    runtime : str
        Python, machine and system, e.g. ``"CPython 3.11.7, x86_64 Linux"``.
    """

    version: str
    commit: str | None
    dirty: bool | None
    environment_hash: str
    engine_hash: str
    runtime: str


def collect() -> Provenance:
    """The provenance of this process; runs git (three times) where the package lies in a checkout."""
    commit, dirty = _git_state(_PACKAGE)
    return Provenance(package_version(), commit, dirty, environment_hash(), engine_hash(), runtime())


def runtime() -> str:
    """Python implementation and version, machine and system."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {platform.machine()} {platform.system()}"


def package_version() -> str:
    """The release of quantlab: of the checkout it is imported from, else of the installed package."""
    project = _PACKAGE.parent / "pyproject.toml"
    if project.is_file():
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    return metadata.version("quantlab")


@lru_cache(maxsize=1)
def environment_hash() -> str:
    """SHA-256 (hex) of the Python version and of all installed packages with their versions."""
    packages = {f"{item.metadata['Name']}=={item.version}".lower() for item in metadata.distributions()}
    lines = [f"python=={platform.python_version()} {sys.platform}", *sorted(packages)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _git_state(package: Path) -> tuple[str | None, bool | None]:
    """Commit and dirtiness of `package`, or (None, None) where git knows nothing about it."""
    tracked = _git(package, "ls-files", "--error-unmatch", "configuration/provenance.py")
    commit = _git(package, "rev-parse", "HEAD") if tracked is not None else None
    changes = _git(package, "status", "--porcelain", "--", ".") if commit else None
    return (commit, bool(changes)) if commit and changes is not None else (None, None)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
