"""The unix socket of the embedded server: where it lies, whether anybody listens, whether a line is dead."""

from __future__ import annotations

import os
import re
import select
import socket
import stat
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

from quantlab.errors import StoreUnavailableError

if TYPE_CHECKING:
    import psycopg

SOCKET = ".s.PGSQL.5432"
_LONGEST_PATH = 99  # bytes; macOS allows 103, Linux 107
_PLAIN = re.compile(r"[\w./ +~=-]+", re.ASCII)


def socket_folder(root: Path) -> Path:
    """The folder of the socket of the server in `root`: inside it, or a hashed one under the temp folder.

    A comma or a quote would be read as a list of folders by PostgreSQL and by libpq, and a path of more
    than 99 bytes does not fit into a socket's address.
    """
    inside = root / "run"
    if _fits(inside):
        return inside
    name = f"quantlab-{os.geteuid()}-{sha256(os.fsencode(root.resolve())).hexdigest()[:16]}"
    temporary = Path(gettempdir()) / name
    return temporary if _fits(temporary) else Path("/tmp") / name


def _fits(folder: Path) -> bool:
    path = str(folder / SOCKET)
    return len(os.fsencode(path)) <= _LONGEST_PATH and _PLAIN.fullmatch(path) is not None


def prepare(folder: Path, uid: int, gid: int) -> None:
    """Make `folder` a directory that belongs to `uid` and that nobody else can enter.

    Raises
    ------
    StoreUnavailableError
        Something there belongs to another account, or is not a directory.
    """
    try:
        os.mkdir(folder, 0o700)
        os.chown(folder, uid, gid)
    except FileExistsError:
        pass
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise StoreUnavailableError(
            f"the embedded server's socket needs a directory of uid {uid} with mode 0700, but {folder} "
            f"belongs to uid {found.st_uid} with mode {stat.filemode(found.st_mode)}: remove it, or use a "
            "shorter QUANTLAB_HOME."
        )


def listens(folder: Path) -> bool:
    """Whether any process accepts connections on the socket in `folder`."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        try:
            line.connect(str(folder / SOCKET))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return False
        except (TimeoutError, BlockingIOError):  # a full queue is somebody's queue
            return True
    return True


def gone(connection: psycopg.Connection) -> bool:
    """Whether an idle connection has ended, without a round trip: a dead line is readable."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
