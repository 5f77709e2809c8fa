"""Questions to an embedded server, other processes that use it, and patience."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg

from quantlab.store.embedded import EmbeddedServer

NewHome = Callable[..., Path]


def ask(address: dict, query: str) -> object:
    with psycopg.connect(**address, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def postmaster(address: dict) -> psutil.Process:
    return psutil.Process(int(str(ask(address, "select pg_read_file('postmaster.pid')")).split("\n")[0]))


def ended(home: Path) -> bool:
    return EmbeddedServer(home / "postgres")._ended()


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def client(home: Path, body: str) -> subprocess.Popen:
    """Another process with an open store; it prints what `body` prints."""
    script = f"""
import sys, time
from pathlib import Path
from quantlab.settings import Settings
from quantlab.store import open_store
from stored_candles import market
store = open_store(Settings(Path({str(home)!r})))
{textwrap.dedent(body)}
"""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    )


def processes(name: str, arguments: list[str]) -> list[psutil.Process]:
    found = psutil.process_iter(["name", "cmdline"])
    return [p for p in found if p.info["name"] == name and set(arguments) <= set(p.info["cmdline"] or [])]


def holder(home: Path) -> str:
    """Whether the initdb that runs is a child of ours."""
    found = processes("initdb", [str(home / "postgres" / "data.new")])
    return "ours" if found and os.getpid() in [p.pid for p in found[0].parents()] else "orphan"
