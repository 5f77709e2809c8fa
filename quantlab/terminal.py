"""What the verbs of the command line share: their options, how they ask the lab, answer and fail.

Standard output carries the answer, standard error everything else. Exit codes: 0 answered; 1 refused
(a configuration that must not be traded, an approval that the gate denies); 2 bad input or no database;
130 interrupted. ``QUANTLAB_TRACEBACK=1`` shows where an error came from.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import math
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.backtest.execution import Costs, Execution
from quantlab.errors import ConfigurationError, InputError, QuantlabError, interrupted
from quantlab.settings import Settings

if TYPE_CHECKING:
    from quantlab.backtest.surface import Surface
    from quantlab.lab import Lab
    from quantlab.market.candles import Candles
    from quantlab.search.study import Study
    from quantlab.signals import Strategy
    from quantlab.validation.thresholds import Gate
    from quantlab.validation.verdict import Verdict

_INTERRUPTED = (
    "quantlab: interrupted. Progress was kept: a sweep goes on from there when the command is repeated."
)

Timeframe = Annotated[str, typer.Argument(help="1m, 5m, 15m, 1h, 4h or 1d.")]
Moment = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="Open time (UTC) of that bar; included."),
]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=V1,V2,...",
        help="Values of a parameter, repeated for others; the rest stays at its default. Without any: the "
        "reference grid. With a sampler: LOW,HIGH or one value; the rest is free.",
    ),
]
Sampler = Annotated[
    str | None, typer.Option(help="tpe, random, evolution, gp, grid, ...: see docs/search.md.")
]


@dataclass(frozen=True)
class Question:
    """What is asked: a strategy on candles, which cells, under which rules, judged by what."""

    strategy: Annotated[str, typer.Argument(help="See `quantlab strategies`.")]
    exchange: Annotated[str, typer.Argument(help="E.g. coinbase.")]
    symbol: Annotated[str, typer.Argument(help="E.g. BTC/USD.")]
    timeframe: Timeframe
    values: Values = None
    start: Moment = None
    end: Moment = None
    direction: Annotated[str, typer.Option(help="both, long or short.")] = "both"
    assumption: Annotated[str, typer.Option(help="neutral, pessimistic or optimistic fills.")] = "neutral"
    fill: Annotated[str, typer.Option(help="open of the next bar, or close: optimistic, not judged.")] = (
        "open"
    )
    taker: Annotated[float, typer.Option(help="Fee, a fraction of notional.")] = Costs.taker
    maker: Annotated[float, typer.Option(help="Fee of resting orders, a fraction.")] = Costs.maker
    slippage_bps: Annotated[float, typer.Option(help="Basis points.")] = Costs.slippage_bps
    funding_8h: Annotated[float, typer.Option(help="Rate per 8 hours, a fraction.")] = Costs.funding_8h
    delay_bars: Annotated[int, typer.Option(help="Bars by which decisions are known later.")] = 0
    metric: Annotated[
        str | None, typer.Option(help="What the choice is made by: sharpe, of the gate timing_t.")
    ] = None
    min_trades: Annotated[int, typer.Option(help="Least closed trades of a cell.")] = 30
    spend_hold_out: Annotated[
        bool, typer.Option("--spend-hold-out", help="Read its bars too: recorded, and it answers no more.")
    ] = False

    @property
    def objective(self) -> str:
        """What a sweep is shown by and a search looks for."""
        return self.metric or "sharpe"

    @property
    def gate(self) -> Gate:
        """The gate that is asked."""
        from quantlab.validation.thresholds import Gate

        return Gate(metric=self.metric or Gate.metric, min_trades=self.min_trades)

    def checked(self) -> tuple[Strategy, dict[str, Any], Execution]:
        """The strategy, the values of `--set` and the rules; whatever has a typo is named here."""
        from quantlab import strategies
        from quantlab.backtest.metrics import definition

        definition(self.objective)
        costs = Costs(self.taker, self.maker, self.slippage_bps, self.funding_8h)
        named: dict[str, Any] = {name: getattr(self, name) for name in ("direction", "assumption", "fill")}
        execution = Execution(costs, delay_bars=self.delay_bars, **named)
        return strategies.get(self.strategy), parsed(self.values), execution

    def candles(self, lab: Lab) -> Candles:
        """The candles, from the database; what is held out of them is said on standard error."""
        start, end = (moment.isoformat() if moment else None for moment in (self.start, self.end))
        where = self.exchange, self.symbol, self.timeframe
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            candles = lab.candles(*where, start=start, end=end, spend_hold_out=self.spend_hold_out)
        for warning in said:
            typer.echo(f"quantlab: {warning.message}", err=True)
        return candles


@dataclass(frozen=True)
class SearchQuestion(Question):
    """The same, about a search."""

    sampler: Sampler = "tpe"
    trials: Annotated[int, typer.Option(help="Cells that the sampler may evaluate.")] = 1_000
    seed: Annotated[int, typer.Option(help="Of the sampler.")] = 0


@dataclass(frozen=True)
class AnyQuestion(SearchQuestion):
    """The same, about a sweep, or about a search if a sampler is named."""

    sampler: Sampler = None


def open_lab() -> Lab:
    """The lab that the environment names; imported only now, for it is heavy."""
    from quantlab.lab import Lab

    return Lab()


def progress() -> bool:
    """Whether somebody watches progress bars, which go to standard error."""
    return sys.stderr.isatty()


@contextlib.contextmanager
def swept(question: Question, cluster: str | None = None) -> Iterator[tuple[Lab, Surface]]:
    """Sweep the grid that is asked, or find it stored; the lab is open meanwhile."""
    strategy, values, execution = question.checked()
    grid = strategy.space.grid(**values) if values else strategy.grid()
    with open_lab() as lab:
        candles, watched = question.candles(lab), progress()
        surface = lab.sweep(strategy, candles, grid, execution=execution, progress=watched, cluster=cluster)
        yield lab, surface


@contextlib.contextmanager
def studied(question: SearchQuestion) -> Iterator[tuple[Lab, Study]]:
    """Search as is asked; the lab is open meanwhile."""
    strategy, bounds, execution = question.checked()
    options = {name: getattr(question, name) for name in ("sampler", "trials", "seed", "min_trades")}
    options |= {"objective": question.objective, "bounds": bounds, "execution": execution}
    with open_lab() as lab:
        yield lab, lab.search(strategy, question.candles(lab), progress=progress(), **options)


@contextlib.contextmanager
def judged(question: AnyQuestion) -> Iterator[tuple[Lab, Verdict]]:
    """Ask the gate about a sweep or a search; the lab is open meanwhile."""
    with swept(question) if question.sampler is None else studied(question) as (lab, searched):
        if getattr(searched, "interrupted", False):
            raise KeyboardInterrupt
        yield lab, lab.validate(searched, gate=question.gate, progress=progress())


@contextlib.contextmanager
def connection_string() -> Iterator[str]:
    """How the database is reached while this lasts, without password."""
    from psycopg.conninfo import make_conninfo

    from quantlab.store import connection
    from quantlab.store.embedded import EmbeddedServer

    settings = Settings.from_environment()
    if settings.dsn:
        ours = ("connect_timeout", "application_name")
        known = connection.parsed(settings.dsn).items()
        yield make_conninfo(**{k: v for k, v in known if "password" not in k and k not in ours})
        return
    with contextlib.closing(EmbeddedServer(settings.home / "postgres")) as server:
        address = server.ensure()
        yield make_conninfo(**{name: address[name] for name in ("host", "port", "user", "dbname")})


def parsed(values: list[str] | None) -> dict[str, Any]:
    """Read ``name=v1,v2,...``: several values make a list, one a scalar.

    Raises
    ------
    InputError
        It has another form, or a name comes twice.
    """
    found: dict[str, Any] = {}
    for given in values or ():
        name, equals, text = (part.strip() for part in given.partition("="))
        if not (name and equals and text) or name in found:
            raise InputError(f"--set is NAME=V1,V2,... and names a parameter once, got {given!r}.")
        several = [_value(part.strip()) for part in text.split(",")]
        found[name] = several if len(several) > 1 else several[0]
    return found


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def group(meaning: str) -> typer.Typer:
    """A group of verbs: plain help, plain tracebacks."""
    return typer.Typer(
        help=meaning,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def verb(group: typer.Typer, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator that registers a verb: fields of its `question` become options, errors are explained."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = dict(inspect.signature(function, eval_str=True).parameters)
        asked = own.pop("question").annotation if "question" in own else None
        shared = dict(inspect.signature(asked, eval_str=True).parameters) if asked else {}

        @functools.wraps(function)
        def call(**given: Any) -> None:
            question = {"question": asked(**{field: given.pop(field) for field in shared})} if asked else {}
            with _explained():
                function(**question, **given)

        spelled = [p.replace(kind=p.KEYWORD_ONLY) for p in (*shared.values(), *own.values())]
        call.__signature__ = inspect.Signature(spelled)  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in spelled}
        group.command(name)(call)
        return function

    return register


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn an error into its message and its exit code."""
    try:
        yield
    except QuantlabError as error:
        if os.environ.get("QUANTLAB_TRACEBACK") == "1":
            traceback.print_exception(error)
        else:
            typer.echo("\n".join([f"quantlab: {error}", *getattr(error, "__notes__", [])]), err=True)
        raise typer.Exit(1 if isinstance(error, ConfigurationError) else 2) from None
    except (KeyboardInterrupt, SystemError) as error:
        if not interrupted(error):
            raise
        typer.echo(_INTERRUPTED, err=True)
        raise typer.Exit(130) from None


def answer(document: Mapping[str, Any], text: object, as_json: bool) -> None:
    """Print `document` as JSON, or `text`."""
    typer.echo(json.dumps(_plain(document), indent=2, allow_nan=False) if as_json else str(text))


def _plain(value: Any) -> Any:
    """JSON values: what is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
