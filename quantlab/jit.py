"""Compile kernels once: a cache that every process shares and that no edit can leave stale.

Numba notices a change of a function's own file, not of the kernels that it calls from other files, and
it writes beside the source, which an installed package may forbid. Kernels of quantlab are therefore
stamped with a hash over all kernel sources and kept in ``~/.cache/quantlab/kernels`` (``XDG_CACHE_HOME``
and ``NUMBA_CACHE_DIR`` are respected).
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import caching, config

_PACKAGE = Path(__file__).resolve().parent


@functools.cache
def sources_hash() -> str:
    """SHA-256 (hex) over the package's kernel files and the records that they share."""
    digest = hashlib.sha256()
    for path in sorted([*_PACKAGE.rglob("*kernels.py"), *_PACKAGE.rglob("record.py")]):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where compiled kernels lie."""
    if chosen := getattr(config, "CACHE_DIR", ""):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quantlab" / "kernels"


class _Locator(caching._CacheLocator):
    """Tells Numba where the cache of a quantlab kernel lies and when it is out of date."""

    def __init__(self, function: Any, file: str) -> None:
        self._place = cache_folder() / "-".join(Path(file).relative_to(_PACKAGE).with_suffix("").parts)
        self._line = function.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        return str(self._place)

    def get_source_stamp(self) -> str:
        return sources_hash()

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, function: Any, file: str) -> Any:
        if not Path(file).resolve().is_relative_to(_PACKAGE):
            return None
        locator = cls(function, str(Path(file).resolve()))
        try:
            locator.ensure_cache_path()
        except OSError:
            return None
        return locator


if _Locator not in caching.CacheImpl._locator_classes:
    caching.CacheImpl._locator_classes.insert(0, _Locator)

kernel = njit(cache=True, nogil=True)
"""Decorator of a kernel: compiled without the interpreter lock, cached for every process."""

inlined = njit(cache=True, nogil=True, inline="always")
"""The same for a small helper that is written into its callers."""
