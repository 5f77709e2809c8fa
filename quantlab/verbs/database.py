"""The verbs about the lab's database."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import Annotated

import typer

from quantlab.errors import InputError
from quantlab.settings import Settings
from quantlab.terminal import answer, connection_string, group, open_lab, verb
from quantlab.verbs import AsJson

database = group("The lab's database.")


@verb(database)
def status(as_json: AsJson = False) -> None:
    """Say whether the database answers and what it holds; starts the embedded one for that.

    JSON: dsn, series, active_configurations, audit_rows (whose hash chain was verified).
    """
    with open_lab() as lab, connection_string() as dsn:
        document = {
            "dsn": dsn,
            "series": len(lab.store.markets()),
            "active_configurations": len(lab.store.active_configurations()),
            "audit_rows": lab.store.verify_audit(),
        }
    lines = [f"{lab!r} answers", *(f"  {name.replace('_', ' ')}: {held}" for name, held in document.items())]
    answer(document, "\n".join(lines), as_json)


@verb(database)
def dsn(
    hold: Annotated[bool, typer.Option("--hold", help="Keep the embedded server up until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print how other programs reach the database (without password).

    The embedded server runs while a lab is open somewhere, or while this is told to --hold it.

    JSON: dsn.
    """
    with open_lab(), connection_string() as text:
        answer({"dsn": text}, text, as_json)
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            if hold:
                signal.pause()


@verb(database)
def stop(as_json: AsJson = False) -> None:
    """Stop an embedded server that was left running and that nobody uses; exit code 1 if somebody does.

    JSON: running.
    """
    from quantlab.store.embedded import EmbeddedServer
    from quantlab.store.sockets import listens, socket_folder

    settings = Settings.from_environment()
    if settings.dsn:
        raise InputError("QUANTLAB_DSN names a server of your own: stop it where it runs, or unset the DSN.")
    root = settings.home / "postgres"
    if listens(socket_folder(root)):
        with contextlib.closing(EmbeddedServer(root)) as server:
            server.ensure()
    running = listens(socket_folder(root))
    text = "another program still uses it: close that first." if running else "the server does not run."
    answer({"running": running}, text, as_json)
    if running:
        raise typer.Exit(1)
