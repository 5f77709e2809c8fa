"""The pages in docs/ against the code: every metric, every test of the gate, every table, every example."""

from __future__ import annotations

import linecache
import os
import re
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import quantlab as ql
from quantlab.backtest.metrics import DEFINITIONS, Metric
from quantlab.backtest.parts import DEFAULT_BUDGET
from quantlab.backtest.request import Request
from quantlab.market.sample import sample_candles
from quantlab.search.choose import SAMPLERS
from quantlab.signals import REGISTRY
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import DECISIVE, REPORTED

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def rows(page: Path, heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, without its head."""
    section = page.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table[2:]]


def named(page: Path, heading: str) -> list[str]:
    return [name for row in rows(page, heading) for name in re.findall(r"`(\w+)`", row[0])]


def metric_row(metric: Metric) -> str:
    formula = metric.formula.replace("|", "\\|")
    return f"| `{metric.name}` | {metric.unit} | `{formula}` | {metric.better or '-'} |"


@pytest.mark.parametrize("metric", DEFINITIONS, ids=lambda metric: metric.name)
def test_the_engine_page_defines_every_metric(metric: Metric) -> None:
    assert metric_row(metric) in (DOCS / "engine.md").read_text(encoding="utf-8").splitlines()


def test_the_engine_page_defines_no_other_metric() -> None:
    assert named(DOCS / "engine.md", "Metrics") == [metric.name for metric in DEFINITIONS]


def test_the_honesty_page_lists_every_test_of_the_gate() -> None:
    assert named(DOCS / "honesty.md", "What decides") == list(DECISIVE)
    assert named(DOCS / "honesty.md", "What is reported and never decides") == list(REPORTED)


def test_the_honesty_page_lists_every_setting_with_its_default() -> None:
    settings = {name.strip("`"): default for name, default, _ in rows(DOCS / "honesty.md", "Settings")}
    assert settings == {name: str(value) for name, value in Gate().to_json().items()}


def test_the_database_page_lists_every_table_and_view() -> None:
    sql = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "quantlab/store/migrations").glob("*.sql"))
    exist = set(re.findall(r"^create (?:table|view) (\w+)", sql, re.MULTILINE)) | {"schema_migration"}
    assert set(named(DOCS / "database.md", "Tables")) == exist


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_that_are_named_exist(page: Path) -> None:
    paths = re.findall(r"`((?:quantlab|tests|docs|benchmarks|notebooks)/[\w/.]+)", page.read_text("utf-8"))
    assert [path for path in paths if not (ROOT / path).exists()] == []


def examples(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_that_examples_use_exist(page: Path) -> None:
    used = {name for example in examples(page) for name in re.findall(r"\bql\.(\w+)", example)}
    assert [name for name in sorted(used) if not hasattr(ql, name)] == []


class Coinbase:
    """Answers as `ccxt.coinbase` does: pages of 300 rows, one of them lost, the newest candle still open."""

    BARS = 1_000
    asked = 0

    def __init__(self) -> None:
        self._rows = sample_candles()[: self.BARS]

    def parse8601(self, moment: str) -> int:
        assert moment.endswith("Z")
        return self._rows.first_ms

    def parse_timeframe(self, timeframe: str) -> int:
        return {"1h": 3600}[timeframe]

    def milliseconds(self) -> int:
        return self._rows.last_ms + 1_800_000

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> list[list[float]]:
        Coinbase.asked += 1
        first = (since - self._rows.first_ms) // 3_600_000
        if 300 <= first < 600:
            return []
        page = self._rows[first : first + min(limit, 300)]
        columns = (page.timestamps, page.open, page.high, page.low, page.close, page.volume)
        return [list(row) for row in zip(*(c.tolist() for c in columns), strict=True)]


@pytest.mark.slow
def test_the_examples_of_the_market_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTLAB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("QUANTLAB_DSN", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ccxt", types.SimpleNamespace(coinbase=Coinbase))
    sample_candles()[:500].to_frame().drop(columns="flags").to_csv("candles.csv")
    of_a_file, of_an_exchange = examples(DOCS / "market-data.md")
    exec(of_a_file, {})
    exec(of_an_exchange, {})
    with ql.open() as lab:
        assert len(lab.candles("kraken", "BTC/USD", "1h")) == 500
        stored = lab.candles("coinbase", "BTC/USD", "1h")
    assert len(stored) == Coinbase.BARS - 1  # without the candle that is still open
    assert stored.missing.sum() == 300
    assert Coinbase.asked == 4


def test_the_examples_of_the_sweep_page_work() -> None:
    (example,) = examples(DOCS / "sweep.md")
    found: dict[str, Any] = {}
    exec(compile(example, "sweep.md", "exec"), found)
    assert found["surface"].regimes["net_profit"].shape == (2, *found["surface"].shape)
    assert found["markets"].labels == ("coinbase BTC/USD 1h", "coinbase BTC/USD 4h")


def test_the_examples_of_the_page_on_regimes_work() -> None:
    (example,) = examples(DOCS / "regimes.md")
    found: dict[str, Any] = {}
    exec(compile(example, "regimes.md", "exec"), found)
    assert found["surface"].in_regime("trades", "bull").any()
    assert (found["later"].label[:4_000] == -1).all()
    assert [first for first, _ in found["again"].models] == [0, 3_000, 6_000]
    columns = {*found["regimes"].at()}
    assert {
        name for row in rows(DOCS / "regimes.md", "The columns") for name in re.findall(r"`(\w+)`", row[0])
    } == columns


def test_the_examples_of_the_page_on_honesty_work() -> None:
    example, _on_hold_outs = examples(DOCS / "honesty.md")
    found: dict[str, Any] = {}
    exec(compile(example, "honesty.md", "exec"), found)
    assert 0.0 < found["found"].p <= 1.0
    assert len(found["surface"].blocks.market) == 100


def test_the_example_of_the_lookahead_page_works() -> None:
    (example,) = examples(DOCS / "lookahead.md")
    found: dict[str, Any] = {}
    exec(compile(example, "lookahead.md", "exec"), found)
    assert not found["report"].ok
    assert found["report"].leaks[0].columns == ("close",)
    assert list(found["report"].to_frame()["kind"]) == ["lookahead"]


def test_the_examples_of_the_search_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_a_study, of_a_front, of_optuna = examples(DOCS / "search.md")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(compile(of_a_study, "search.md", "exec"), found)
    assert found["study"].n_trials == 300
    exec(compile(of_a_front, "search.md", "exec"), found)
    assert list(found["study"].front_frame().columns[:2]) == ["sharpe", "turnover"]
    exec(compile(of_optuna, "search.md", "exec"), found)
    assert len(found["made"].trials) == 200
    assert (tmp_path / "searches.db").is_file()


def test_the_search_page_lists_every_sampler() -> None:
    assert sorted(named(DOCS / "search.md", "Samplers")) == sorted([*SAMPLERS, "grid"])


def test_the_sweep_page_knows_what_a_cell_takes() -> None:
    bytes_of = [int(row[1]) for row in rows(DOCS / "sweep.md", "Memory")]
    plain = Request().rows
    asked = [Request(("pessimistic",)), Request(n_regimes=1), Request(blocks=1)]
    assert bytes_of == [8 * (request.rows - plain) for request in asked]
    assert f"{DEFAULT_BUDGET >> 20} MiB by default" in (DOCS / "sweep.md").read_text(encoding="utf-8")


def test_the_example_strategy_keeps_the_contract() -> None:
    (example,) = examples(ROOT / "CONTRIBUTING.md")
    try:
        exec(compile(example, str(ROOT / "CONTRIBUTING.md"), "exec"), {"__name__": "example"})
    finally:
        assert REGISTRY.pop("above_average").name == "above_average"


@pytest.fixture
def _registry() -> Iterator[None]:
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


@pytest.mark.usefixtures("_registry")
def test_the_page_on_writing_a_strategy_runs_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    found: dict[str, Any] = {"__name__": "a_notebook"}
    told = []
    for i, example in enumerate(examples(DOCS / "write-a-strategy.md")):
        source = f"<cell {i}>"  # as in a notebook: no file, but its lines can be looked up
        linecache.cache[source] = (len(example), None, example.splitlines(keepends=True), source)
        exec(compile(example, source, "exec"), found)
        told.append(capsys.readouterr().out)
    assert "too_good" in told[2]
    assert "bar" in told[2]
    assert found["surface"].size == 30
    assert found["surface"]["trades"].min() > 20
    assert found["wider"].size == 6
    assert found["by_regime"].in_regime("trades", "bull").sum() > 0
    name, value = told[4].splitlines()
    assert name == "'dept' is not a parameter of pullback: did you mean 'depth'?"
    assert "`depth` of pullback must be in [0.5, 4]" in value
    assert "200" in value


def test_a_package_of_ones_own_is_found_by_its_entry_point(tmp_path: Path) -> None:
    page = (DOCS / "write-a-strategy.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    declared = tomllib.loads(text)["project"]
    group, points = declared["entry-points"].popitem()
    package = tmp_path / "my_strategies"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "pullback.py").write_text(examples(DOCS / "write-a-strategy.md")[0], encoding="utf-8")
    info = tmp_path / "my_strategies-1.0.dist-info"  # what an installer leaves behind
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-strategies\nVersion: 1.0\n", "utf-8")
    lines = [f"[{group}]", *(f"{name} = {module}" for name, module in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    code = """
import quantlab as ql
from quantlab.testing import check_strategy
check_strategy("pullback")
surface = ql.sweep("pullback", ql.sample_candles()[:3_000], progress=False)
print(surface.size, surface.strategy.signals.__module__)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    (checked,) = re.findall(r"^\$ quantlab (check .*)$", page, re.MULTILINE)
    cli = [sys.executable, "-m", "quantlab.cli"]
    for command, says in (
        ([sys.executable, "-c", code], "30 my_strategies.pullback"),
        ([*cli, "strategies"], "\npullback\n"),
        ([*cli, *checked.split(), "--candles", "synthetic"], "pullback"),
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert says in done.stdout


def test_the_places_that_contributing_names_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "`SAMPLERS`" in text
    assert len(SAMPLERS) > 1
    assert "_LIBRARY" in text
    assert "_LIBRARY" in (ROOT / "quantlab/strategies/__init__.py").read_text(encoding="utf-8")
