"""The packaging says one thing only, wherever it says it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import quantlab

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = (
    "vectorbt",
    "plotly",
    "ccxt",
    "torch",
    "pandas",
    "numba",
    "scipy",
    "optuna",
    "psycopg",
    "pyarrow",
    "dask",
)


def test_the_environment_file_has_the_same_pins() -> None:
    listed = re.findall(
        r'^      - "(.+)"$', (ROOT / "environment.yml").read_text(encoding="utf-8"), re.MULTILINE
    )
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"], "--editable ."]
    assert listed == wanted


def test_every_dependency_names_the_file_that_needs_it() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for line in re.findall(r'^    "[^"]+",.*$', text.split("[tool.")[0], re.MULTILINE):
        if "::" in line:
            continue
        named = re.search(r"# (.+)$", line)
        assert named, f"no file is named in: {line}"
        for place in re.findall(r"[\w/]+\.py|[\w/]+/(?=[ ,]|$)", named[1]):
            assert (ROOT / place).exists() or (ROOT / "quantlab" / place).exists(), f"{place} of {line}"


def test_versions_agree() -> None:
    assert PROJECT["version"] == quantlab.__version__
    assert f"[{quantlab.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_public_names_are_sorted_and_reachable() -> None:
    assert quantlab.__all__ == sorted(quantlab.__all__)
    for name in quantlab.__all__:
        assert getattr(quantlab, name) is not None
    with pytest.raises(AttributeError, match="swep"):
        _ = quantlab.swep


@pytest.mark.parametrize("module", ["quantlab", "quantlab.errors", "quantlab.settings"])
def test_importing_pulls_in_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_numba_lives_in_kernel_files_only() -> None:
    for path in sorted((ROOT / "quantlab").rglob("*.py")):
        names = [
            getattr(node, "module", None) or node.names[0].name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        if any(name.split(".")[0] == "numba" or name == "quantlab.jit" for name in names):
            assert path.name.endswith("kernels.py") or path.name == "jit.py", path


@pytest.mark.slow
def test_the_wheel_holds_all_that_is_not_python(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(command, check=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    for pattern in (
        r"v3\.schema\.json",
        r"report\.css",
        r"static/explorer\.js",
        r"static/explorer\.css",
        r"migrations/0001.*\.sql",
        r"_sample/.*\.parquet",
    ):
        assert any(re.search(pattern, name) for name in names), pattern
    assert not any(name.startswith(("tests/", "data/", "benchmarks/")) for name in names)
