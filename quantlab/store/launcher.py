"""Run a command as the server's account, apart from this process. A script of the standard library only.

PostgreSQL refuses to run as root, so root hands it to an existing account. If that account may not pass
through a parent directory (a home under ``/root``), the command keeps one capability that lets it pass:
no directory is opened for anybody, no account is made.

Usage: ``python -I -S launcher.py --account UID:GID|- --reach PATH ... [--detach] -- COMMAND ...``, or with
``--end-orphans DIRECTORY`` instead of a command.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 8, 47, 2
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


def become(uid: int, gid: int, reach: list[str]) -> None:
    """Change from root to an account that can enter every directory in `reach`, for good.

    Parameters
    ----------
    uid, gid : int
        The account; supplementary groups are dropped.
    reach : list of str
        Directories that the account has to enter.

    Raises
    ------
    PermissionError
        A directory is closed to the account and no capability lets it pass.
    """
    linux = sys.platform == "linux"
    if linux:
        _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    closed = [path for path in reach if not os.access(path, os.X_OK)]
    if closed and not (linux and _keep_passage()):
        raise PermissionError(f"the account with uid {uid} may not enter {closed[0]} or one of its parents")


def end_orphans(directory: str) -> None:
    """Kill every postgres process that works in `directory` (backends outlive a killed postmaster).

    Parameters
    ----------
    directory : str
        A data directory; the working directory of all processes of its server.
    """
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        orphans = [pid for pid, cwd in working_directories() if _same(cwd, directory)]
        if not orphans:
            return
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def working_directories() -> Iterator[tuple[int, str]]:
    """Yield (pid, path that leads to the working directory) of every postgres process one may look at."""
    if not os.path.isdir("/proc/self"):
        yield from parse_lsof(
            subprocess.run(
                ["lsof", "-w", "-a", "-d", "cwd", "-c", "postgres", "-Fpn"],
                capture_output=True,
                text=True,
                check=False,
            ).stdout
        )
        return
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/comm") as comm:
            if comm.read().strip() == "postgres":
                yield int(name), f"/proc/{name}/cwd"


def parse_lsof(text: str) -> Iterator[tuple[int, str]]:
    """Yield (pid, working directory) from the output of ``lsof -Fpn``."""
    pid = 0
    for line in text.splitlines():
        if line.startswith("p"):
            pid = int(line[1:])
        elif line.startswith("n"):
            yield pid, line[1:]


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _prctl(option: int, *arguments: int) -> bool:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    return libc.prctl(option, *padded) == 0


def _keep_passage() -> bool:
    """Keep the least capability that passes closed directories across exec, and no other."""
    import ctypes

    with open("/proc/self/status") as status:
        permitted = next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm"))
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        if permitted & (1 << capability):
            header = (ctypes.c_uint32 * 2)(0x20080522, 0)
            bit = 1 << capability
            data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
            libc = ctypes.CDLL(None, use_errno=True)
            return libc.capset(header, data) == 0 and _prctl(
                _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability
            )
    return False


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--account", default="-")
    parser.add_argument("--reach", action="append", default=[])
    parser.add_argument("--detach", action="store_true")
    parser.add_argument("--end-orphans")
    parser.add_argument("command", nargs="*")
    options = parser.parse_args()
    if options.account != "-":
        uid, gid = map(int, options.account.split(":"))
        try:
            become(uid, gid, options.reach)
        except PermissionError as error:
            sys.exit(f"launcher: {error}")
    if options.end_orphans:
        end_orphans(options.end_orphans)
        return
    if options.detach and os.fork():
        os._exit(0)
    os.execv(options.command[0], options.command)


if __name__ == "__main__":
    main()
