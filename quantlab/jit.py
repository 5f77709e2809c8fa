"""Compile kernels once: a cache that every process shares and that no edit can leave stale.

Numba notices a change of a function's own file, not of the kernels that it calls from other files, and
it writes beside the source, which an installed package may forbid. Kernels of quantlab are therefore
stamped with a hash over the files that they reach and kept in ``~/.cache/quantlab/kernels``
(``XDG_CACHE_HOME`` and ``NUMBA_CACHE_DIR`` are respected). Where that cannot be written, they are kept in
the user's own folder below the temporary one; where that cannot either, every process compiles for itself.
Both are warned of.
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import os
import re
import stat
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import caching, config
from numba.extending import intrinsic

_PACKAGE = Path(__file__).resolve().parent


@functools.cache
def sources_hash(path: Path) -> str:
    """SHA-256 (hex) over a kernel file and all that it imports from this package, directly or not."""
    digest, todo = hashlib.sha256(), {path}
    seen: set[Path] = set()
    while todo:
        seen |= todo
        todo = {file for one in todo for file in _imported(one)} - seen
    for file in sorted(seen):
        digest.update(file.relative_to(_PACKAGE).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _imported(path: Path) -> Iterator[Path]:
    for module in re.findall(r"^(?:from|import) quantlab\.([\w.]+)", path.read_text("utf-8"), re.MULTILINE):
        file = _PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
        if file.is_file() and file != Path(__file__).resolve():
            yield file


@functools.cache
def cache_folder() -> Path | None:
    """Where this process keeps compiled kernels; None where nothing can be written.

    Warns
    -----
    RuntimeWarning
        The usual folder cannot be written.
    """
    try:
        usual = _usual_folder()
        _check_writable(usual)
        return usual
    except (OSError, RuntimeError) as error:
        why = f"compiled kernels cannot be kept in their usual folder ({error})"
    remedy = "set NUMBA_CACHE_DIR to a folder that can be written."
    try:
        spare = _spare_folder()
        _check_writable(spare)
    except OSError as error:
        _warn(f"{why}, nor in a temporary one ({error}): every process compiles them for itself; {remedy}")
        return None
    _warn(f"{why}: they are kept in {spare}, and compiled again whenever that is emptied; {remedy}")
    return spare


def _usual_folder() -> Path:
    if chosen := getattr(config, "CACHE_DIR", ""):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quantlab" / "kernels"


def _spare_folder() -> Path:
    """A folder below the temporary one that nobody else can write: whoever can, can run code in here."""
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    folder = Path(tempfile.gettempdir()) / f"quantlab-kernels-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if hasattr(os, "getuid") and (
        not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o022
    ):
        raise PermissionError(f"{folder} is not a folder that only this user can write")
    return folder


def _check_writable(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
    for path in folder.iterdir():
        if path.is_dir() and not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(f"{path} cannot be written")


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)


class _Locator(caching._CacheLocator):
    """Tells Numba where the cache of a quantlab kernel lies and when it is out of date."""

    def __init__(self, folder: Path, function: Any, file: str) -> None:
        self._place = folder / "-".join(Path(file).relative_to(_PACKAGE).with_suffix("").parts)
        self._file = Path(file)
        self._line = function.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        return str(self._place)

    def get_source_stamp(self) -> str:
        return sources_hash(self._file)

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, function: Any, file: str) -> Any:
        folder, path = cache_folder(), Path(file).resolve()
        if folder is None or not path.is_relative_to(_PACKAGE):
            return None
        return cls(folder, function, str(path))


class _Cache(caching.FunctionCache):
    """A cache whose disk may fill up, or be taken away, without failing the caller."""

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self.disable()
            _warn(f"a compiled kernel could not be kept ({error}): the next process compiles it again.")


_locators: list[Any] = caching.CacheImpl._locator_classes
if _Locator not in _locators:
    _locators.insert(0, _Locator)


def _decorator(**options: Any) -> Any:
    compiled = njit(**options)

    def decorate(function: Any) -> Any:
        made: Any = compiled(function)
        if hasattr(made, "_cache") and cache_folder() is not None:
            made._cache = _Cache(function)
        return made

    return decorate


_OPTIONS = {"nogil": True, "error_model": "numpy"}

kernel = _decorator(**_OPTIONS)
"""Decorator of a kernel: compiled without the interpreter lock, cached for every process."""

inner = _decorator(**_OPTIONS, _nrt=False)
"""The same for a kernel that allocates nothing: no counting of references, which costs more than its work."""

inlined = _decorator(**_OPTIONS, inline="always")
"""The same for a small helper that is written into its callers."""


def instead_of(plain: Any) -> Any:
    """Decorator of a Numba intrinsic that stands for the function `plain`, which uncompiled code takes."""
    return lambda made: plain if getattr(config, "DISABLE_JIT", 0) else intrinsic(made)
