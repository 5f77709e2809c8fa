"""The handle of a job: how far it is, what it came to; the same in a notebook and on the command line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from quantlab.backtest.surface import CandlesIdentity, Surface
from quantlab.backtest.task import read_cells
from quantlab.errors import JobError
from quantlab.lab.spec import read_execution, read_spec
from quantlab.lab.sweeps import read
from quantlab.signals import find_strategy
from quantlab.store.jobs import JobRow
from quantlab.store.store import Store
from quantlab.validation.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd

ENDED = ("completed", "failed", "cancelled")
_SHOWN = ("id", "status", "progress", "current_stage", "strategy_id", "exchange", "pair", "timeframe")


class Job:
    """A job that was submitted. Every look at it asks the database.

    Parameters
    ----------
    store : Store
    id : str
    """

    def __init__(self, store: Store, id: str) -> None:
        self._store, self.id = store, id

    @property
    def row(self) -> JobRow:
        """All that is stored of it."""
        return self._store.jobs.get(self.id)

    @property
    def status(self) -> str:
        """``queued``, ``running``, ``completed``, ``failed`` or ``cancelled``."""
        return self.row.status

    @property
    def progress(self) -> float:
        """How far it is, in percent."""
        return self.row.progress

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ENDED

    def cancel(self) -> str:
        """Cancel it: at once if it waits, else as soon as its worker hears of it; the status it has now.

        Raises
        ------
        JobError
            It has ended already.
        """
        return self._store.jobs.cancel(self.id)

    def wait(self, timeout: float | None = None, poll_s: float = 0.2) -> Job:
        """Wait for its end.

        Raises
        ------
        JobError
            It has not ended after `timeout` seconds.
        """
        wait([self], timeout, poll_s)
        return self

    def follow(self, poll_s: float = 0.3) -> Job:
        """Show a bar until its end; Ctrl-C stops the bar, not the job."""
        from tqdm.auto import tqdm

        form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
        with tqdm(total=100, desc=_name(self.row), bar_format=form) as bar:
            while True:
                row = self.row
                bar.set_postfix_str(told(row))
                bar.update(row.progress - bar.n)
                if row.status in ENDED:
                    return self
                time.sleep(poll_s)

    def result(self) -> dict[str, Any]:
        """What it came to: surface_key, cells, metric, chosen {params, metrics}, verdict.

        Raises
        ------
        JobError
            It has not ended, was cancelled, or failed; with the reason.
        """
        row = self.row
        if row.status == "completed":
            return dict(row.result or {})
        if row.status == "failed":
            raise JobError(f"job {self.id} failed: {row.error_message}")
        raise JobError(f"job {self.id} is {told(row)}: it has no result.")

    def surface(self) -> Surface:
        """The surface that it stored.

        Raises
        ------
        JobError
            It has no result; or it was asked for more than metrics, and strategy, engine or candles have
            changed since.
        """
        key, asked = self.result()["surface_key"], self.row.spec
        if asked["assumptions"] or asked.get("regimes") or asked["blocks"]:
            task = read_spec(self._store, asked).task
            whole = task and read(self._store, task)
            if whole:
                return replace(whole, counted=True)
        meta, metrics = self._store.get_surface(key)
        strategy, detail = find_strategy(meta["strategy"]), meta.get("intrabar")
        return Surface(
            strategy=strategy,
            cells=read_cells(strategy.space, meta["cells"]),
            metrics=metrics,
            execution=read_execution(meta["execution"]),
            identity=CandlesIdentity(**meta["identity"]),
            key=key,
            intrabar=detail and CandlesIdentity(**detail),
            counted=True,
        )

    def verdict(self) -> Verdict:
        """What the gate said.

        Raises
        ------
        JobError
            The job did not ask the gate, or has no result.
        """
        said = self.result()["verdict"]
        if said is None:
            raise JobError(f"job {self.id} did not ask the gate: submit with validate=True.")
        return Verdict.from_json(self._store.get_verdict(said["key"])["verdict"])

    def __repr__(self) -> str:
        row = self.row
        return f"Job({row.id[:8]}, {_name(row)}: {told(row)})"

    def _repr_html_(self) -> str:
        row = self.row
        bar = f"<progress value='{row.progress:.1f}' max='100'></progress>"
        return f"<div>{escape(_name(row))} <code>{row.id[:8]}</code> {bar} {escape(told(row))}</div>"


def wait(jobs: Sequence[Job], timeout: float | None = None, poll_s: float = 0.2) -> None:
    """Wait for the end of all; JobError if one has not ended after `timeout` seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    for job in jobs:
        while not job.ended:
            if deadline is not None and time.monotonic() > deadline:
                row = job.row
                hint = " No worker has taken it: start `quantlab worker`." if row.attempt == 0 else ""
                raise JobError(f"job {row.id} is {told(row)} after {timeout:g} s.{hint}")
            time.sleep(poll_s)


def told(row: JobRow) -> str:
    """How far a job is, in a few words."""
    if row.status == "queued":
        return "queued" if row.attempt == 0 else f"queued again after attempt {row.attempt}"
    if row.status == "running":
        now = datetime.now(UTC)
        silent = (now - row.heartbeat).total_seconds() if row.heartbeat else 0.0
        quiet = f", silent for {silent:.0f} s" if silent > 10 else ""
        cancel = ", to be cancelled" if row.cancel_requested else ""
        return f"running {row.progress:.0f} %, {row.current_stage}, on {row.worker}{quiet}{cancel}"
    if row.status == "failed":
        return f"failed: {(row.error_message or '').splitlines()[0]}"
    verdict = (row.result or {}).get("verdict")
    return (
        row.status if verdict is None else f"{'approved' if verdict['approved'] else 'refused'} by the gate"
    )


def table(rows: Sequence[JobRow]) -> pd.DataFrame:
    """One row per job: how far it is, and what was chosen where it has ended."""
    import pandas as pd

    lines = []
    for row in rows:
        line: dict[str, Any] = {name: getattr(row, name) for name in _SHOWN}
        line["id"], line["method"] = row.id[:8], row.optimization_method
        metrics = ((row.result or {}).get("chosen") or {}).get("metrics", {})
        line |= {name: metrics.get(name) for name in ("sharpe", "net_profit", "trades")}
        verdict = (row.result or {}).get("verdict")
        line["approved"] = None if verdict is None else verdict["approved"]
        line["seconds"] = _seconds(row)
        line["error"] = (row.error_message or "").splitlines()[0] if row.error_message else ""
        lines.append(line)
    columns = [*_SHOWN, "method", "sharpe", "net_profit", "trades", "approved", "seconds", "error"]
    return pd.DataFrame(lines, columns=columns)


def _seconds(row: JobRow) -> float | None:
    end = row.completed_at or row.heartbeat
    return None if row.started_at is None or end is None else (end - row.started_at).total_seconds()


def _name(row: JobRow) -> str:
    return f"{row.strategy_id} {row.optimization_method} {row.exchange} {row.pair} {row.timeframe}"
