"""The part of the lab that hands work to workers and reads the ledger: see `Lab`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack
from uuid import uuid4

from quantlab.backtest.markets import plain_surface
from quantlab.backtest.surface import Surface
from quantlab.errors import InputError, JobError, QuantlabError
from quantlab.lab.campaign import Campaign, Refused, estimate
from quantlab.lab.holding import HoldingOut
from quantlab.lab.jobs import Job, table
from quantlab.lab.ledger import Ledger, read_ledger
from quantlab.lab.spec import Asked, Spec, make_spec
from quantlab.market.candles import Candles
from quantlab.signals import Strategy
from quantlab.space import Cells, Grid
from quantlab.validation.thresholds import Gate

if TYPE_CHECKING:
    import pandas as pd


class Training(HoldingOut):
    """What a `Lab` does with jobs, and its ledger."""

    def submit(
        self,
        strategy: str | Strategy,
        candles: Candles,
        grid: Cells | Mapping[str, Any] | None = None,
        *,
        spend_hold_out: bool = False,
        **asked: Unpack[Asked],
    ) -> Job:
        """Queue a sweep or a search for the workers (``quantlab worker``, or `work`).

        A job is a question with the hashes of all that decides its answer. It survives the death of its
        worker, goes on where it was, and comes to what `sweep` or `search` would, to the last bit.

        Parameters
        ----------
        strategy : str or Strategy
            One that a worker can import: not one that is defined in a notebook.
        candles : Candles
            As they are stored in the lab.
        grid : Grid, Points or mapping, optional
            Of a sweep; by default the reference grid.
        sampler : str, optional
            Search with it instead of sweeping a grid.
        trials : int
            Of a search.
        execution : Execution, optional
            Costs, sides, fill assumption, sizing.
        assumptions, regimes, blocks, intrabar
            What else a sweep is asked for: see `quantlab.sweep`. Candles for `intrabar` are stored ones, too.
        validate : bool or Gate
            Have the gate judge it too.
        objective, min_trades, max_drawdown, aggregate, seed, batch, bounds
            Of a search: see `quantlab.search.run.search`.
        name, restart
            Of a search: see `Lab.search`.
        spend_hold_out : bool
            Search bars of a hold-out too: recorded, and it answers nothing any more.

        Returns
        -------
        Job

        Raises
        ------
        JobError
            A worker could not do it: the strategy cannot be imported, or the candles are not stored.
        InputError
            The question makes no sense, or the candles reach into a hold-out.
        """
        spec = make_spec(self.store, strategy, candles, grid, **asked)
        for used in spec.markets:
            self._remember(used, spend_hold_out)
        return self._queue(spec)

    def submit_validation(self, surface: Surface, *, gate: Gate | None = None) -> Job:
        """Queue the gate's judgement of a sweep of this lab: what `validate` would say, with live progress.

        Null markets that were drawn are kept: whoever takes the job up again goes on from there.

        Parameters
        ----------
        surface : Surface
            Of a grid. To have a search judged by workers, submit it with ``validate=True``.
        gate : Gate, optional
            Thresholds.

        Raises
        ------
        InputError
            It is not the surface of a grid.
        JobError
            A worker could not do it: see `submit`.
        """
        plain = plain_surface(surface)
        if not isinstance(getattr(plain, "cells", None), Grid):
            raise InputError(
                f"{surface!r} is not the sweep of a grid: submit a search with `validate=True` instead."
            )
        where = plain.identity
        candles = self.store.candles(
            where.exchange, where.symbol, where.timeframe, where.first_ms, where.last_ms
        )
        if candles.fingerprint != where.fingerprint:
            raise JobError(
                f"the stored candles of {where.family} {where.timeframe} are not those that were swept: "
                "sweep again."
            )
        return self.submit(
            plain.strategy, candles, plain.cells, execution=plain.execution, validate=gate or True
        )

    def train(
        self,
        strategies: str | Strategy | Sequence[str | Strategy],
        exchanges: str | Sequence[str],
        pairs: str | Sequence[str],
        timeframes: str | Sequence[str],
        *,
        start: str | None = None,
        end: str | None = None,
        workers: int = 1,
        **how: Any,
    ) -> Campaign:
        """Queue a job for every strategy on every market: exchanges x pairs x timeframes x strategies.

        What cannot be asked (candles that are not stored, a strategy without such a parameter) is refused
        alone and shown in the table of the campaign; so is a job that fails. With ``validate=`` the gate's
        budget of false approvals is for the whole campaign: each of its m symbols gets alpha / m, of which
        the k-th search on a symbol may spend its share.

        Parameters
        ----------
        strategies, exchanges, pairs, timeframes : str or sequence of str
        start, end : str, optional
            ISO dates or times (UTC) of the first and last bar wanted, both included. Candles end before a
            market's hold-out, if it has one.
        workers : int
            Workers that will share the work: for the estimate alone.
        **how
            As `submit` takes it. `regimes` is a function of candles here, e.g. `quantlab.regimes.detect`, and
            `intrabar` a timeframe.

        Returns
        -------
        Campaign
            Its ``estimate`` says how long it will take before anything runs.
        """
        campaign, refused, specs = str(uuid4()), [], []
        axes = (exchanges, pairs, timeframes, strategies)
        for exchange, pair, timeframe, strategy in itertools.product(*map(_several, axes)):
            try:
                period = self._period(exchange, pair, start, end, spend=False)
                candles = self.store.candles(exchange, pair, timeframe, *period)
                here = dict(how)
                if callable(how.get("regimes")):
                    here["regimes"] = how["regimes"](candles)
                if isinstance(how.get("intrabar"), str):
                    here["intrabar"] = self.store.candles(exchange, pair, how["intrabar"], *period)
                specs.append(make_spec(self.store, strategy, candles, **here))
            except QuantlabError as error:
                name = str(getattr(strategy, "name", strategy))
                refused.append(Refused(name, exchange, pair, timeframe, str(error)))
        specs = shared_budget(specs)
        expected = estimate(self.store, specs, workers)
        jobs = [self._queue(spec, campaign) for spec in specs]
        return Campaign(self.store, campaign, tuple(jobs), tuple(refused), expected)

    def ledger(self, candles: Candles | None = None) -> Ledger:
        """Every search ever made: how many cells, which search on its data (k), what it may spend (alpha_k).

        Parameters
        ----------
        candles : Candles, optional
            Only searches that share time with these candles of their market, whatever their timeframe; the
            budget that is left is told too.
        """
        return read_ledger(self.store, candles)

    def jobs(self, limit: int | None = 50) -> pd.DataFrame:
        """The last jobs, oldest first, one row each."""
        return table(self.store.jobs.listed(limit=limit))

    def job(self, id: str) -> Job:
        """The job whose id begins with `id`; NotStoredError if there is none, or more than one."""
        return Job(self.store, self.store.jobs.resolve(id))

    def work(self, *, drain: bool = True, campaign: Campaign | None = None, **how: Any) -> int:
        """Take jobs in this process until none waits; the number that was taken.

        Parameters
        ----------
        drain : bool
            False: go on waiting for jobs, until Ctrl-C.
        campaign : Campaign, optional
            Take its jobs only.
        **how
            As `quantlab.lab.work.Worker` takes it: lease_s, poll_s, say.
        """
        from quantlab.lab.work import Worker

        only = None if campaign is None else campaign.id
        return Worker(self, campaign=only, **how).run(drain=drain)  # type: ignore[arg-type]

    def _queue(self, spec: Spec, campaign: str | None = None) -> Job:
        columns = spec.columns() | ({} if campaign is None else {"campaign": campaign})
        return Job(self.store, self.store.jobs.submit(columns, spec.to_json()))


def shared_budget(specs: Sequence[Spec]) -> list[Spec]:
    """The same jobs, the alpha of each gate divided by the number of symbols that a gate is asked about.

    Searches on one symbol share its budget by their place in the ledger, which does not join symbols.
    """
    families = {spec.candles.family for spec in specs if spec.gate}
    shared = []
    for spec in specs:
        gate = spec.gate and replace(spec.gate, alpha=spec.gate.alpha / len(families))
        shared.append(replace(spec, gate=gate))
    return shared


def _several(given: Any) -> list[Any]:
    """What was given, each once."""
    listed = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    return [one for i, one in enumerate(listed) if one not in listed[:i]]
