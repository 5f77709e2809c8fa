"""The verbs about jobs: submit one, list, follow and cancel them, work on them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.errors import InputError
from quantlab.terminal import AnyQuestion, answer, open_lab, progress, verb
from quantlab.verbs import AsJson, app

if TYPE_CHECKING:
    from quantlab.lab.jobs import Job

_PLAIN = ("id", "status", "progress", "current_stage", "worker", "attempt", "error_message", "result")
_OF = ("strategy_id", "exchange", "pair", "timeframe", "optimization_method", "seed")
_TIMES = ("submitted_at", "started_at", "completed_at", "heartbeat")


def _described(job: Job) -> dict[str, Any]:
    row = job.row
    times = {name: getattr(row, name) for name in _TIMES}
    return {
        **{name: getattr(row, name) for name in (*_PLAIN, *_OF)},
        **{name: None if at is None else at.isoformat() for name, at in times.items()},
    }


@verb(app)
def submit(
    question: AnyQuestion,
    validate: Annotated[bool, typer.Option("--validate", help="Have the gate judge it too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Queue a sweep, or a search if a sampler is named, for the workers.

    JSON: id, status, progress, current_stage, worker, attempt, error_message, result, strategy_id, exchange,
    pair, timeframe, optimization_method, seed, submitted_at, started_at, completed_at, heartbeat.
    """
    strategy, values, execution = question.checked()
    how: dict[str, Any] = {"execution": execution, "validate": question.gate if validate else False}
    if question.sampler is None:
        how["grid"] = strategy.space.grid(**values) if values else strategy.grid()
    else:
        how |= {name: getattr(question, name) for name in ("sampler", "trials", "seed", "min_trades")}
        how |= {"objective": question.objective, "bounds": values}
    with open_lab() as lab:
        job = lab.submit(strategy, question.candles(lab), **how)
        answer(_described(job), f"{job!r}\n{job.id}", as_json)


@verb(app)
def jobs(
    job: Annotated[str | None, typer.Argument(help="Its id, or how it begins; without: list all.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show a bar until it ends.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel it.")] = False,
    last: Annotated[int, typer.Option(min=1, help="How many are listed.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the jobs, or show, follow or cancel one; exit code 1 if the one that was followed failed.

    JSON: jobs, or of one: id, status, progress, current_stage, worker, attempt, error_message, result,
    strategy_id, exchange, pair, timeframe, optimization_method, seed, submitted_at, started_at, completed_at,
    heartbeat.
    """
    if job is None and (follow or cancel):
        raise InputError("--follow and --cancel are about one job: give its id, see `quantlab jobs`.")
    with open_lab() as lab:
        if job is None:
            from quantlab.lab.jobs import Job

            rows, frame = lab.store.jobs.listed(limit=last), lab.jobs(limit=last)
            text = frame.to_string(index=False) if rows else "no jobs: try `quantlab submit`."
            answer({"jobs": [_described(Job(lab.store, row.id)) for row in rows]}, text, as_json)
            return
        one = lab.job(job)
        if cancel:
            one.cancel()
        if follow:
            one.follow() if progress() else one.wait()
        answer(_described(one), f"{one!r}\n{one.row.error_message or ''}".rstrip(), as_json)
        if follow and one.status != "completed":
            raise typer.Exit(1)


@verb(app)
def worker(
    lease: Annotated[float, typer.Option(help="Seconds after which a silent worker's job is taken.")] = 30.0,
    drain: Annotated[bool, typer.Option("--drain", help="End when no job waits.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take jobs, one after the other, until Ctrl-C; start as many workers as you like, on any machine.

    Modules of the current folder can be imported, so that strategies of your own are found.

    JSON: jobs (how many were taken; only with --drain).
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    if as_json and not drain:
        raise InputError("--json answers at the end, and a worker has none: add --drain.")
    with open_lab() as lab, _terminable():
        taken = lab.work(drain=drain, lease_s=lease, say=lambda line: typer.echo(line, err=True))
    said = "1 job was" if taken == 1 else f"{taken} jobs were"
    answer({"jobs": taken}, f"{said} taken, none is left.", as_json)


@contextlib.contextmanager
def _terminable() -> Any:
    """SIGTERM is Ctrl-C while this lasts: the job under way goes back into the queue."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
