"""A new process: what it imports, that it compiles nothing anew, and where it keeps what it compiled."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantlab import jit

PACKAGE = Path(jit.__file__).resolve().parent
NEVER = ("pandas", "vectorbt", "plotly", "ccxt", "torch", "dask", "optuna", "psycopg", "jsonschema")
SWEEP = f"""
import sys
import quantlab as ql
ql.sweep("sma_cross", ql.sample_candles()[-600:], progress=False)
print(*(name for name in {NEVER} if name in sys.modules), sep=",")
"""
ONE_KERNEL = """
import numpy as np
from quantlab.indicators import sma
print(sma(np.arange(10.0), 3)[-1])
"""
COUNTED = """
import sys
from numba.core.dispatcher import Dispatcher
kernels = {id(k): k for n, m in list(sys.modules.items()) if n.startswith("quantlab")
           for k in vars(m).values() if isinstance(k, Dispatcher)}.values()
print(sum(sum(k.stats.cache_hits.values()) for k in kernels))
print(sum(sum(k.stats.cache_misses.values()) for k in kernels))
"""


def run(code: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """A new process; None takes a variable away."""
    changed = {**os.environ, **environment}
    kept = {name: value for name, value in changed.items() if value is not None}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=kept, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A folder that nobody can make, not even root: its parent is a file."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "cache"


@pytest.fixture
def spare(tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def test_a_second_process_compiles_nothing() -> None:
    run(SWEEP)
    imported, hits, misses = run(SWEEP + COUNTED).stdout.splitlines()
    assert int(hits) > 3
    assert int(misses) == 0
    assert imported == ""


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "HOME"])
def test_where_the_cache_cannot_be_written_a_temporary_one_serves(
    variable: str, nowhere: Path, spare: Path
) -> None:
    gone = dict.fromkeys(("XDG_CACHE_HOME", "NUMBA_CACHE_DIR"))
    environment = {**gone, "TMPDIR": str(spare), variable: str(nowhere)}
    first, second = (run(ONE_KERNEL + COUNTED, **environment) for _ in range(2))
    mean, hits, compiled = first.stdout.split()
    assert (mean, hits) == ("8.0", "0")
    assert int(compiled) > 0
    assert second.stdout.split() == [mean, compiled, "0"]
    for done in (first, second):
        assert done.stderr.count("RuntimeWarning") == 1
        assert str(nowhere) in done.stderr
        assert str(spare) in done.stderr
        assert "set NUMBA_CACHE_DIR" in done.stderr
    (made,) = spare.iterdir()
    assert made.stat().st_mode & 0o777 == 0o700
    assert list(PACKAGE.rglob("*.nb[ic]")) == []  # an install may be read-only


def test_without_any_home_a_temporary_cache_serves(spare: Path) -> None:
    code = """
from pathlib import Path
def home():
    raise RuntimeError("Could not determine home directory.")
Path.home = home
"""
    done = run(
        code + ONE_KERNEL + COUNTED, XDG_CACHE_HOME=None, NUMBA_CACHE_DIR=None, HOME=None, TMPDIR=str(spare)
    )
    assert done.stdout.split()[:2] == ["8.0", "0"]
    assert "Could not determine home directory" in done.stderr
    assert len(list(spare.iterdir())) == 1


def test_a_temporary_folder_that_others_can_write_is_not_trusted(nowhere: Path, spare: Path) -> None:
    open_to_all = spare / f"quantlab-kernels-{os.getuid()}"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    done = run(ONE_KERNEL + COUNTED, XDG_CACHE_HOME=str(nowhere), NUMBA_CACHE_DIR=None, TMPDIR=str(spare))
    assert done.stdout.split()[0] == "8.0"
    assert done.stderr.count("RuntimeWarning") == 1
    assert "not a folder that only this user can write" in done.stderr
    assert list(open_to_all.iterdir()) == []


def test_kernels_of_another_user_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backtest-kernels").mkdir()
    jit._check_writable(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="backtest-kernels cannot be written"):
        jit._check_writable(tmp_path)


def test_a_full_disk_does_not_fail_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def doubled(x):  # type: ignore[no-untyped-def]
        return 2 * x

    double = jit.kernel(doubled)
    monkeypatch.setattr(double._cache._cache_file, "save", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        assert double(2) == 4
    assert double(2.5) == 5.0


def test_the_stamp_follows_what_a_kernel_reaches_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "_PACKAGE", tmp_path)
    (tmp_path / "room").mkdir()
    first, second, third, apart = (tmp_path / "room" / f"{name}.py" for name in "abcd")
    first.write_text("from quantlab.room.b import x\nfrom quantlab.jit import kernel\n")
    second.write_text("import quantlab.room.c\n")
    third.write_text("import quantlab.room.a\n")
    apart.write_text("import quantlab.room.a\n")
    stamps = []
    for edited in (first, second, third, apart):
        jit.sources_hash.cache_clear()
        stamps.append(jit.sources_hash(first))
        edited.write_text(edited.read_text() + "# edited\n")
    jit.sources_hash.cache_clear()
    stamps.append(jit.sources_hash(first))
    assert len(set(stamps[:4])) == 4
    assert stamps[4] == stamps[3]
