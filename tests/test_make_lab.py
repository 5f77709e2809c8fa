"""`make lab` as the Makefile has it: who has no token gets nothing, and kernels listen on no port."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MAKEFILE = (Path(__file__).resolve().parents[1] / "Makefile").read_text(encoding="utf-8")
FOLDERS = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")


def locked() -> list[str]:
    """The options that `make lab` gives for safety."""
    found = re.search(r"^LOCKED := ((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)
    assert found is not None
    return found.group(1).replace("\\\n", " ").split()


def test_make_lab_uses_them() -> None:
    recipe = next(line for line in MAKEFILE.splitlines() if line.startswith("\t$(BIN)/jupyter lab"))
    assert "$(LOCKED)" in recipe
    assert "token" not in recipe.lower()  # a new one at each start, not one for all


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, str, Path]]:
    """Address, token and runtime folder of a server; its folders have short names, as sockets must."""
    home = Path(tempfile.mkdtemp(prefix="ql"))
    token = secrets.token_hex(16)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    own = {f"JUPYTER_{name}": str(home / name[0].lower()) for name in FOLDERS}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.port={port}", *locked()]
    command += [f"--ServerApp.root_dir={home}", "--ServerApp.port_retries=0", "--allow-root"]
    with (home / "log").open("w") as log:
        started = subprocess.Popen(
            command, env=os.environ | own | {"JUPYTER_TOKEN": token}, stdout=log, stderr=log
        )
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and ask(address, "/api", token)[0] != 200:
                assert started.poll() is None, (home / "log").read_text()
                time.sleep(0.2)
            yield address, token, home / "r"
        finally:
            started.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(timeout=30)
            started.kill()
            shutil.rmtree(home, ignore_errors=True)


def ask(
    address: str, path: str, token: str = "", body: Any = None, method: str | None = None, **headers: str
) -> tuple[int, str]:
    """Status and text of the answer; 0 if nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    authorised = {"Authorization": f"token {token}"} if token else {}
    request = urllib.request.Request(address + path, data, authorised | headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/api/contents", "/api/kernels", "/api/terminals", "/api/status"])
def test_nothing_without_the_token(server: tuple[str, str, Path], path: str) -> None:
    address, token, _ = server
    assert ask(address, path)[0] == 403
    assert ask(address, path, "0" * 32)[0] == 403
    assert ask(address, path, token)[0] == 200


@pytest.mark.slow
def test_a_page_of_another_name_is_refused(server: tuple[str, str, Path]) -> None:
    address, token, _ = server
    assert ask(address, "/api/contents", token, Host="evil.example")[0] == 403


@pytest.mark.slow
def test_kernels_are_reached_by_files(server: tuple[str, str, Path]) -> None:
    address, token, runtime = server
    status, text = ask(address, "/api/kernels", token, {"name": "python3"})
    assert status == 201
    kernel = json.loads(text)["id"]
    connection = json.loads((runtime / f"kernel-{kernel}.json").read_text())
    assert connection["transport"] == "ipc"
    assert Path(connection["ip"]).parent == runtime
    assert ask(address, f"/api/kernels/{kernel}", token, method="DELETE")[0] == 204
