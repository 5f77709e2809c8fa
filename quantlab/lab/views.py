"""The part of the lab that draws a cell and watches what runs: see `Lab`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from quantlab.backtest.surface import Cell, Surface

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from quantlab.explore.chart import CandleChart
    from quantlab.explore.live import LiveView
    from quantlab.lab.jobs import Job
    from quantlab.lab.lab import Lab


class Views:
    """What a `Lab` draws of one cell, and of a job while it runs."""

    def figure(self, surface: Surface, cell: Cell | Mapping[str, Any]) -> go.Figure:
        """Equity, drawdown and trades of a cell: see `Run.figure`. One that the surface lacks is a trial."""
        lab = cast("Lab", self)
        return lab.run(surface, cell).figure(lab._known(surface.identity))

    def chart(self, surface: Surface, cell: Cell | Mapping[str, Any]) -> CandleChart:
        """Candles with the entries, exits and stops of one cell, to zoom through in a notebook.

        One that the surface lacks is a trial.

        Parameters
        ----------
        surface : Surface
        cell : Cell or mapping of parameter to value

        Returns
        -------
        CandleChart
            A widget; ``chart.select(3)`` goes to the fourth trade.
        """
        from quantlab.explore.chart import CandleChart
        from quantlab.explore.stops import stop_levels

        lab = cast("Lab", self)
        run, candles = lab.run(surface, cell), lab._known(surface.identity)
        return CandleChart(candles, run, stop_levels(run, candles, surface.strategy))

    def watch(self, job: Job | str, poll_s: float = 0.5) -> LiveView:
        """A job as it goes: progress, the best so far, and what the gate found where there is no edge.

        Everything is looked up in the database: the page may be closed and opened again, the job goes on.

        Parameters
        ----------
        job : Job or str
            From `submit`, or how its id begins.
        poll_s : float
            Seconds between two looks.

        Raises
        ------
        NotStoredError
            There is no such job.
        """
        from quantlab.explore.live import LiveView
        from quantlab.lab.watching import JobWatch

        lab = cast("Lab", self)
        found = lab.job(job) if isinstance(job, str) else job
        return LiveView(JobWatch(lab.store, found), poll_s)
