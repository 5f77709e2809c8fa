"""The embedded server at the command line: found, asked, stopped unless somebody uses it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from cli_helpers import parse, process, told
from typer.testing import Result

from quantlab.lab import Lab
from quantlab.store.sockets import listens, socket_folder


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
        env=told(other),
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
