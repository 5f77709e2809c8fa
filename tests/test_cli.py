"""The command line: real processes and one real database; its answers are the library's own."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from typer.testing import CliRunner, Result

import quantlab
from quantlab import cli, research, terminal
from quantlab.backtest.execution import Costs, Execution
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.sweep import surface_key
from quantlab.lab import Lab
from quantlab.market.candles import Candles
from quantlab.market.sample import sample_candles
from quantlab.market.synthetic import planted_momentum
from quantlab.settings import Settings
from quantlab.store.sockets import listens, socket_folder
from quantlab.strategies import get, names

BTC = ("coinbase", "BTC/USD", "1h")
SMALL = ("--set", "fast=10,20,40", "--set", "slow=20,50,100")
GRID = {"fast": [10, 20, 40], "slow": [20, 50, 100]}
HEAVY = ("numpy", "numba", "pandas", "pyarrow", "psycopg", "scipy", "optuna", "plotly", "vectorbt", "rich")


def process(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quantlab.cli", *arguments],
        env=_environment(home) | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def _environment(home: Path) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("QUANTLAB")}
    return inherited | {"QUANTLAB_HOME": str(home)}


@contextlib.contextmanager
def at_a_terminal(home: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process whose standard error is a terminal, and the descriptor of that terminal."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    running = subprocess.Popen(
        [sys.executable, "-m", "quantlab.cli", *arguments],
        env=_environment(home),
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        with running:
            yield running, ours
    finally:
        os.close(ours)


def read(terminal: int, until: str | None = None) -> str:
    """What a terminal shows, up to a pattern or to the end."""
    shown = ""
    with contextlib.suppress(OSError):  # that is how a terminal ends
        while until is None or not re.search(until, shown):
            if not select.select([terminal], [], [], 60)[0]:
                pytest.fail(f"silent for a minute after: {shown}")
            shown += os.read(terminal, 1 << 16).decode(errors="replace")
    return shown


def parse(text: str) -> Any:
    """One JSON document, and no NaN in it."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    loaded = process(home, "sample", "--json")
    assert loaded.returncode == 0, loaded.stderr
    assert parse(loaded.stdout)["fingerprint"] == sample_candles().fingerprint
    return home


@pytest.fixture(scope="module")
def lab(home: Path) -> Iterator[Lab]:
    """The library on the same database; the server stays up between the commands."""
    with Lab(Settings(home)) as lab:
        yield lab


@pytest.fixture
def call(home: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command inside this process, which is quicker."""
    for name in list(os.environ):
        if name.startswith("QUANTLAB"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QUANTLAB_HOME", str(home))
    return lambda *arguments: CliRunner().invoke(cli.app, arguments)


@pytest.fixture(scope="module")
def planted() -> Candles:
    return planted_momentum(research.PLANTED_BARS, timeframe="4h", true_sharpe=2.5, half_life_bars=80)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom quantlab.cli import app\n"
        "app(['sweep', '--help'], standalone_mode=False)\n"
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "--slippage-bps" in done.stdout
    assert done.stderr.strip() == "[]"


def test_the_installed_command_is_this_one() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="quantlab")
    assert script.load() is cli.main


def test_check_reads_stored_candles(call: Callable[..., Result]) -> None:
    done = call("check", "buy_and_hold", *BTC, "--start", "2018-01-01", "--end", "2018-02-01", "--json")
    found = parse(done.stdout)
    assert done.exit_code == 0, done.output
    assert found["ok"]
    assert found["market"]["bars"] == 31 * 24 + 1
    assert found["lookahead"]["findings"] == []


def test_version(call: Callable[..., Result]) -> None:
    assert call("--version").stdout == f"quantlab {quantlab.__version__}\n"


VERBS = (
    "research markets sample import strategies sweep search validate approve report db-status db-dsn db-stop "
    "config-read submit jobs worker holdout-lock holdout-list holdout-look holdout-release"
)


@pytest.mark.parametrize("verb", VERBS.split())
def test_every_verb_documents_its_json(verb: str) -> None:
    shown = CliRunner().invoke(cli.app, [*verb.split("-"), "--help"]).stdout
    assert "--json" in shown
    assert "JSON: " in shown


def test_costs_left_unsaid_are_those_of_the_library() -> None:
    asked = cli.Question("sma_cross", *BTC)
    assert asked.checked()[2] == Execution()


def test_strategies_are_listed_as_the_library_knows_them(call: Callable[..., Result]) -> None:
    listed = parse(call("strategies", "--json").stdout)["strategies"]
    assert [one["name"] for one in listed] == names()
    for one in listed:
        assert {k: one[k] for k in ("parameters", "constraints")} == get(one["name"]).space.to_json()
    text = call("strategies").stdout
    assert all(parameter in text for name in names() for parameter in get(name).space.names)


def test_markets_and_a_sample_stored_again(call: Callable[..., Result], lab: Lab) -> None:
    before = parse(call("markets", "--json").stdout)
    assert before["markets"] == [market._asdict() for market in lab.store.markets()]
    again = parse(call("sample", "--json").stdout)
    assert (again["bars"], again["missing"], again["revision"]) == (16_449, 0, 1)
    assert parse(call("markets", "--json").stdout) == before
    assert "BTC/USD" in call("markets").stdout


@pytest.mark.parametrize("form", ["parquet", "csv of milliseconds", "csv of ISO times"])
def test_import_stores_what_the_file_holds(
    call: Callable[..., Result], lab: Lab, planted: Candles, tmp_path: Path, form: str
) -> None:
    frame, file = planted[:500].to_frame(), tmp_path / f"candles.{form.split()[0]}"
    if form == "parquet":
        frame.to_parquet(file)
    elif form == "csv of milliseconds":
        frame.assign(timestamp=planted.timestamps[:500]).to_csv(file, index=False)
    else:
        frame.set_axis(frame.index.strftime("%Y-%m-%dT%H:%M+00:00")).rename_axis("timestamp").to_csv(file)
    market = ("file", form, "4h")
    options = [
        part for pair in zip(("--exchange", "--symbol", "--timeframe"), market, strict=True) for part in pair
    ]
    first, second = (parse(call("import", str(file), *options, "--json").stdout) for _ in range(2))
    assert first == second
    stored = lab.candles(*market)
    assert first["fingerprint"] == stored.fingerprint
    assert (first["bars"], first["first_ms"], first["revision"]) == (500, planted.first_ms, 1)
    np.testing.assert_array_equal(stored.close, planted.close[:500])


GOOD_ROW = "0,10,12,9,11,5\n"
HEADER = "timestamp,open,high,low,close,volume\n"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "", "cannot be read as candles"),
        ("a.csv", HEADER, "timestamp"),
        ("a.csv", HEADER + GOOD_ROW + "3600000,10,8,9,11,5\n", "high"),
        ("a.csv", HEADER + "3600000,10,12,9,11,5\n" + GOOD_ROW, "row"),
        ("a.csv", HEADER + GOOD_ROW + GOOD_ROW, "duplicated"),
        ("a.csv", HEADER + "yesterday,10,12,9,11,5\n", "yesterday"),
        ("a.csv", HEADER + "0,10,12,9,-1,5\n", "close"),
        ("a.csv", HEADER.replace("close", "clse") + GOOD_ROW, "'close'"),
        ("a.csv", "\x00\xff\n\x01,", "columns"),
        ("a.parquet", HEADER, "cannot be read as candles"),
        ("a.xlsx", HEADER, "neither .csv nor .parquet"),
    ],
)
def test_a_bad_file_is_refused_and_changes_nothing(
    call: Callable[..., Result], lab: Lab, tmp_path: Path, name: str, content: str, says: str
) -> None:
    file, before = tmp_path / name, lab.store.markets()
    file.write_text(content)
    done = call("import", str(file), "--exchange", "x", "--symbol", "A/B", "--timeframe", "1h", "--json")
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stdout == ""
    assert lab.store.markets() == before


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("sweep sma_cros coinbase BTC/USD 1h", "did you mean 'sma_cross'?"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fats=5,10", "did you mean 'fast'?"),
        ("sweep sma_cross coinbase BTC/USD 1h --metric sharp", "did you mean 'sharpe'?"),
        ("validate sma_cross coinbase BTC/USD 1h --metric sharp", "did you mean 'sharpe'?"),
        ("sweep sma_cross coinbase BTC/USD 1h --direction shrt", "did you mean 'short'?"),
        ("sweep sma_cross coinbase BTC/USD 1h --fill opn", "did you mean 'open'?"),
        ("search sma_cross coinbase BTC/USD 1h --sampler tpee", "did you mean 'tpe'?"),
        ("sweep sma_cross coinbase BTC/USD 1hr", "did you mean '1h'?"),
        ("sweep sma_cross coinbase BTC/USD 1h --taker 0.1", "a fraction, not percent"),
        ("sweep liquidity_sweep coinbase BTC/USD 1h --set pierce_depth=0.18", "fractions, not percent"),
        ("sweep sma_cross coinbase BTCUSD 1h", "nearest are coinbase BTC/USD 1h"),
        ("sweep sma_cross coinbase BTC/USD 1h --start 2031-01-01", "2019-10-17T08:00Z"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fast", "NAME=V1,V2"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fast=", "NAME=V1,V2"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fast=5 --set fast=6", "once"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fast=5,x", "must be numbers"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fast=5,5", "distinct values"),
        ("sweep sma_cross coinbase BTC/USD 1h --set fast=5,10 --min-trades 99999", "at least 99999"),
        ("sweep sma_cross coinbase BTC/USD 1h --start yesterday", "yesterday"),
        ("sweep sma_cross coinbase BTC/USD", "timeframe"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(call: Callable[..., Result], command: str, says: str) -> None:
    done = call(*command.split(), "--json")
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_an_error_is_a_line_and_a_traceback_only_if_wanted(home: Path, lab: Lab) -> None:
    wrong = ("sweep", "sma_cros", *BTC)
    plain, traced = process(home, *wrong), process(home, *wrong, QUANTLAB_TRACEBACK="1")
    assert plain.returncode == traced.returncode == 2
    assert plain.stderr == "quantlab: 'sma_cros' is not a strategy: did you mean 'sma_cross'?\n"
    assert "Traceback" in traced.stderr
    assert "UnknownNameError" in traced.stderr
    assert plain.stdout == traced.stdout == ""


def test_a_server_that_does_not_answer_is_named_without_its_password(home: Path) -> None:
    dsn = "postgresql://ana:s3cret-w0rd@127.0.0.1:1/lab"
    for environment in ({}, {"QUANTLAB_TRACEBACK": "1"}):
        done = process(home, "markets", "--json", QUANTLAB_DSN=dsn, **environment)
        assert done.returncode == 2
        assert "127.0.0.1" in done.stderr
        assert "s3cret" not in done.stderr + done.stdout


def test_sweep_prints_the_figures_of_the_library(home: Path, lab: Lab) -> None:
    done = process(home, "sweep", "sma_cross", *BTC, *SMALL, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    shown = parse(done.stdout)
    surface = lab.sweep("sma_cross", lab.candles(*BTC), GRID, progress=False)
    plateau = surface.plateau()
    assert shown["key"] == surface.key
    assert shown["axes"] == GRID
    assert shown["cells"] == 9
    assert shown["best"]["params"] == surface.best().params
    assert shown["plateau"]["params"] == plateau.cell.params
    assert shown["plateau"]["metrics"] == plateau.cell.metrics
    assert (shown["plateau"]["score"], shown["plateau"]["mean"]) == (plateau.score, plateau.mean)
    assert shown["plateau"]["half_width"] == plateau.half_width
    assert [row["value"] for row in shown["plateau"]["neighbours"]] == plateau.neighbours["value"].tolist()
    assert shown["market"] == surface.identity.to_json()
    again = process(home, "sweep", "sma_cross", *BTC, *SMALL, "--json")
    assert again.stdout == done.stdout


def test_what_is_undefined_is_null(call: Callable[..., Result]) -> None:
    asked = ("--set", "fast=20,60", "--set", "slow=50", "--json")  # 60 breaks the constraint fast < slow
    neighbours = parse(call("sweep", "sma_cross", *BTC, *asked).stdout)["plateau"]["neighbours"]
    assert {row["value"]: row["sharpe"] is None for row in neighbours} == {20: False, 60: True}


def test_bars_are_drawn_for_a_person_only_and_never_into_the_answer(home: Path, lab: Lab) -> None:
    with at_a_terminal(home, "search", "sma_cross", *BTC, "--trials", "60", "--json") as (running, terminal):
        shown = read(terminal)
        out, _ = running.communicate(timeout=30)
    assert "sma_cross tpe" in shown
    assert parse(out)["trials"] == 60


def test_a_search_is_judged_as_a_search(call: Callable[..., Result], lab: Lab) -> None:
    asked = ("--sampler", "random", "--trials", "20", "--seed", "3", "--set", "fast=5,40")
    shown = parse(call("validate", "sma_cross", *BTC, *asked, "--json").stdout)
    options: dict[str, Any] = {"sampler": "random", "trials": 20, "seed": 3, "progress": False}
    study = lab.search("sma_cross", lab.candles(*BTC), bounds={"fast": [5, 40]}, **options)
    assert shown["surface_key"] == study.surface.key
    assert shown["evidence"]["trials_search"] == 20
    assert shown == lab.validate(study, progress=False).to_json()


def test_every_rule_reaches_the_library(call: Callable[..., Result], lab: Lab) -> None:
    rules = "--direction long --assumption pessimistic --taker 0.0004 --maker -0.0001 --slippage-bps 3.5"
    more = "--funding-8h 0.0001 --delay-bars 2 --start 2018-03-01 --end 2018-12-31T23:00"
    shown = parse(call("sweep", "sma_cross", *BTC, *SMALL, *rules.split(), *more.split(), "--json").stdout)
    candles = lab.candles(*BTC, start="2018-03-01", end="2018-12-31T23:00")
    execution = Execution(Costs(0.0004, -0.0001, 3.5, 0.0001), "long", "pessimistic", 2)
    assert shown["market"]["bars"] == len(candles) == 306 * 24
    assert shown["execution"] == execution.to_json()
    assert shown["key"] == lab.sweep("sma_cross", candles, GRID, execution=execution, progress=False).key
    shown = parse(call("sweep", "sma_cross", *BTC, *SMALL, "--fill", "close", "--json").stdout)
    assert shown["execution"] == Execution(fill="close").to_json()


def test_the_metric_and_the_least_trades_decide_the_choice(call: Callable[..., Result], lab: Lab) -> None:
    surface = lab.sweep("sma_cross", lab.candles(*BTC), GRID, progress=False)
    least = int(np.nanmedian(surface["trades"]))
    asked = ("--metric", "net_profit", "--min-trades", str(least), "--json")
    shown = parse(call("sweep", "sma_cross", *BTC, *SMALL, *asked).stdout)
    assert shown["best"]["metrics"] == surface.best("net_profit", least).metrics
    assert shown["plateau"]["params"] == surface.plateau("net_profit", least).cell.params
    assert shown["best"]["metrics"]["trades"] >= least


def test_search_prints_the_study_of_the_library(call: Callable[..., Result], lab: Lab) -> None:
    asked = (
        "--sampler",
        "random",
        "--trials",
        "25",
        "--seed",
        "7",
        "--set",
        "fast=5,40",
        "--set",
        "slow=100",
    )
    shown = parse(call("search", "sma_cross", *BTC, *asked, "--json").stdout)
    options: dict[str, Any] = {"sampler": "random", "trials": 25, "seed": 7, "progress": False}
    study = lab.search("sma_cross", lab.candles(*BTC), bounds={"fast": [5, 40], "slow": 100}, **options)
    assert shown["key"] == study.key
    assert shown["surface_key"] == study.surface.key
    assert shown["best"] == {"params": study.best().params, "metrics": study.best().metrics}
    assert (shown["trials"], shown["budget"], shown["ended"]) == (25, 25, "budget")


def test_validate_prints_the_stored_verdict_and_approve_obeys_it(
    call: Callable[..., Result], lab: Lab, tmp_path: Path
) -> None:
    free = ("--taker", "0", "--maker", "0", "--slippage-bps", "0")
    asked = ("sma_cross", *BTC, *SMALL, *free)
    first, second = call("validate", *asked, "--json"), call("validate", *asked, "--json")
    assert first.exit_code == 0
    assert first.stdout == second.stdout
    execution = Execution(Costs(0.0, 0.0, 0.0))
    surface = lab.sweep("sma_cross", lab.candles(*BTC), GRID, execution=execution, progress=False)
    verdict = lab.validate(surface, progress=False)
    assert parse(first.stdout) == verdict.to_json()
    assert not verdict.approved, "nothing that trades for free is approved"
    assert call("validate", *asked).stdout.strip() == str(verdict).strip()

    ledger = lab.store.active_configurations()
    denied = call("approve", *asked, "--by", "ana", "--reason", "hope", "--json")
    assert denied.exit_code == 1
    answer = parse(denied.stdout)
    assert answer["reasons"] == list(verdict.reasons)
    assert (answer["approved"], answer["path"]) == (False, None)
    assert all(
        reason in call("approve", *asked, "--by", "ana", "--reason", "hope").stdout
        for reason in verdict.reasons
    )
    assert lab.store.active_configurations() == ledger

    page = tmp_path / "new folder" / "page.html"
    assert parse(call("report", *asked, "--output", str(page), "--json").stdout)["path"] == str(page)
    assert "REFUSED" in page.read_text().upper()
    blocked = call("report", *asked, "--output", str(page / "inside a file.html"), "--json")
    assert (blocked.exit_code, blocked.stdout) == (2, "")


def test_from_a_file_to_an_exported_configuration(
    home: Path, call: Callable[..., Result], lab: Lab, planted: Candles, tmp_path: Path
) -> None:
    file, market = tmp_path / "planted.parquet", (planted.exchange, planted.symbol, planted.timeframe)
    planted.to_frame().to_parquet(file)
    options = ("--exchange", market[0], "--symbol", market[1], "--timeframe", market[2])
    assert call("import", str(file), *options).exit_code == 0
    asked = ("approve", "sma_cross", *market, "--by", "ana", "--reason", "the edge was planted", "--json")
    done = process(home, *asked)
    assert (done.returncode, done.stderr) == (0, "")
    approval = parse(done.stdout)
    assert approval["approved"]
    assert [str(row["id"]) for row in lab.store.active_configurations()] == [approval["id"]]
    assert parse(call(*asked).stdout) == approval

    read = parse(call("config", "read", approval["path"], "--json").stdout)
    assert (read["tradable"], read["reason"]) == (True, None)
    assert read["document"]["identity"]["config_id"] == approval["config_id"]
    parameters = read["document"]["strategy"]["parameters"]
    text = call("config", "read", approval["path"]).stdout
    assert all(f"{name} = {entry['value']}" in text for name, entry in parameters.items())
    altered = tmp_path / "altered.json"
    altered.write_bytes(Path(approval["path"]).read_bytes().replace(b"ana", b"bob"))
    refused = call("config", "read", str(altered), "--json")
    assert refused.exit_code == 1
    assert parse(refused.stdout)["tradable"] is False
    assert parse(refused.stdout)["reason"] in refused.stderr
    assert call("config", "read", str(tmp_path / "absent.json")).exit_code == 1


def test_ctrl_c_keeps_what_was_finished_and_the_same_command_goes_on(home: Path, lab: Lab) -> None:
    values = {
        "pierce_depth": [round(0.0005 + 0.0001 * i, 4) for i in range(40)],
        "rejection_bars": [1, 2, 3],
        "volume_spike": [round(1.5 + 0.15 * i, 2) for i in range(24)],
        "level_lookback": [20, 40, 60, 80, 100, 120, 140, 160, 180],
        "level_tolerance": [0.0005, 0.001, 0.002],
    }
    asked = [f"--set={name}={','.join(map(str, along))}" for name, along in values.items()]
    command = ("sweep", "liquidity_sweep", *BTC, *asked, "--min-trades", "1", "--json")
    strategy = get("liquidity_sweep")
    cells = strategy.space.grid(**values)
    key = surface_key(strategy, lab.candles(*BTC), cells, Execution())

    with at_a_terminal(home, *command) as (running, terminal):
        shown = read(terminal, until=r"[3-9]\d%")  # the first of four parts is done
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to everybody in the foreground
        shown += read(terminal)
        out, _ = running.communicate(timeout=30)
    assert running.returncode == 130, shown
    assert "Progress was kept" in shown
    assert "Traceback" not in shown
    assert out == ""
    kept = lab.store.load_chunks(key)
    assert kept
    assert not lab.store.has_surface(key)

    part, data = next(iter(kept.items()))  # marked, so that it is seen whether it is computed again
    lab.store.save_chunk(key, part, np.full(len(data) // 8, 12_345.0).tobytes())
    resumed = process(home, *command)
    assert resumed.returncode == 0, resumed.stderr
    assert parse(resumed.stdout)["key"] == key
    _, metrics = lab.store.get_surface(key)
    marked = metrics["sharpe"] == 12_345.0
    assert marked.sum() == len(data) // 8 // len(METRICS)
    assert 0 < marked.sum() < cells.size
    assert not lab.store.load_chunks(key)


def test_research_answers_with_its_findings(
    call: Callable[..., Result], lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    surface = lab.sweep("sma_cross", lab.candles(*BTC), GRID, progress=False)
    verdict = lab.validate(surface, progress=False)

    def short(lab: Lab, *, progress: bool, say: Callable[[str], None]) -> research.Findings:
        say("a line for the reader")
        finding = research.Finding(surface, surface.plateau(), verdict, None)
        return research.Findings((finding,), tmp_path / "report.html")

    monkeypatch.setattr(research, "run", short)
    assert call("research").stdout == "a line for the reader\n"
    done = call("research", "--json")
    answer = parse(done.stdout)
    assert done.stderr == "a line for the reader\n"
    assert answer["report"] == str(tmp_path / "report.html")
    (finding,) = answer["findings"]
    assert (finding["key"], finding["approved"], finding["configuration"]) == (
        surface.key,
        verdict.approved,
        None,
    )
    assert finding["plateau"]["params"] == surface.plateau().cell.params


def test_the_database_can_be_reached_and_says_what_it_holds(call: Callable[..., Result], lab: Lab) -> None:
    status = parse(call("db", "status", "--json").stdout)
    assert status["series"] == len(lab.store.markets())
    assert status["active_configurations"] == len(lab.store.active_configurations())
    assert status["dsn"] == call("db", "dsn").stdout.strip()
    with psycopg.connect(status["dsn"]) as connection:
        assert connection.execute("select count(*) from series").fetchone() == (status["series"],)


def test_a_server_is_stopped_unless_somebody_uses_it(
    call: Callable[..., Result], home: Path, tmp_path: Path
) -> None:
    used = call("db", "stop", "--json")
    assert (used.exit_code, parse(used.stdout)) == (1, {"running": True})
    assert listens(socket_folder(home / "postgres"))

    other = tmp_path / "other"
    assert parse(process(other, "db", "stop", "--json").stdout) == {"running": False}
    assert not other.exists(), "asking to stop must not start anything"
    holder = subprocess.Popen(
        [sys.executable, "-m", "quantlab.cli", "db", "dsn", "--hold"],
        env=_environment(other),
        stdout=subprocess.PIPE,
        text=True,
    )
    with contextlib.closing(holder.stdout):
        assert "user=quantlab" in holder.stdout.readline()
        holder.kill()
        holder.wait()
    assert listens(socket_folder(other / "postgres")), "a killed client leaves the server running"
    assert parse(process(other, "db", "stop", "--json").stdout) == {"running": False}
    assert not listens(socket_folder(other / "postgres"))


def test_a_server_of_ones_own_is_not_stopped(
    call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTLAB_DSN", "postgresql://127.0.0.1:1/lab")
    assert call("db", "stop").exit_code == 2


def test_ctrl_c_inside_a_compiled_function_is_still_ctrl_c() -> None:
    """Now and then Numba's dispatcher turns it into a SystemError, which is caused by the interrupt."""
    inner, outer = SystemError("argument"), SystemError("returned a result with an exception set")
    inner.__cause__, outer.__cause__ = KeyboardInterrupt(), inner
    assert terminal.interrupted(outer)
    assert terminal.interrupted(KeyboardInterrupt())
    assert not terminal.interrupted(SystemError("something else"))
