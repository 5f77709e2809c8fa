"""The exception tree. Every message states the condition, the evidence and the remedy.

QuantlabError
├── InputError (ValueError)            a value the caller gave is not usable
│   ├── UnknownNameError               a name that is not known, with the nearest known ones
│   └── CandlesError                   a frame of candles that cannot be trusted
├── StoreError                         the database could not do what was asked
│   ├── StoreUnavailableError          it does not answer
│   ├── NotStoredError                 what was asked for is not there
│   └── StoreVersionError              it was written by another version
├── JobError                           a job cannot be submitted, run or cancelled as asked
│   └── LeaseLostError                 a worker wanted to write under a lease that is no longer its own
├── ClusterError                       the Dask cluster could not do what was asked
├── ConfigurationError                 a V3 document that must not be traded
└── IntegrityError                     two engines disagree, or evidence contradicts itself
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class QuantlabError(Exception):
    """Base of every error that quantlab raises on purpose."""


class InputError(QuantlabError, ValueError):
    """A value given by the caller cannot be used."""


class UnknownNameError(InputError):
    """A name is not among the known ones.

    Parameters
    ----------
    kind : str
        What the name should denote, e.g. ``"parameter of liquidity_sweep"``.
    name : str
        The name that was given.
    known : iterable of str
        The names that exist.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(map(str, known))
        self._given = (kind, name, known)
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}."
        article = "an" if kind[:1] in "aeiou" else "a"
        super().__init__(f"{name!r} is not {article} {kind}: {hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._given, self.__dict__


class CandlesError(InputError):
    """A frame of candles is empty, unsorted, inconsistent or otherwise not to be trusted."""


class StoreError(QuantlabError):
    """The database could not do what was asked of it."""


class StoreUnavailableError(StoreError):
    """The database server does not answer or cannot be started."""


class NotStoredError(StoreError, LookupError):
    """What was asked for is not in the database."""


class StoreVersionError(StoreError):
    """The database was written by another version of PostgreSQL or of quantlab."""


class JobError(QuantlabError):
    """A job cannot be submitted, run or cancelled as it was asked."""


class LeaseLostError(JobError):
    """A worker wanted to write under a lease that another has taken."""


class ClusterError(QuantlabError):
    """The Dask cluster could not do what was asked of it."""


class ConfigurationError(QuantlabError):
    """A V3 document is malformed, altered, expired or not approved: it must not be traded."""


class IntegrityError(QuantlabError):
    """Two engines disagree, or stored evidence contradicts itself."""


def demand(given: Any, kinds: Any, what: str, remedy: str) -> None:
    """Raise InputError unless `given` is of one of `kinds`.

    Parameters
    ----------
    given : Any
    kinds : type, or union of types
    what : str
        What it must be: the beginning of the message, e.g. ``"`execution` must be an Execution"``.
    remedy : str
        How to come by one: its end.
    """
    if not isinstance(given, kinds):
        shown = repr(given) if given is None or isinstance(given, str | int | float) else type(given).__name__
        raise InputError(f"{what}, got {shown}: {remedy}.")


def interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C caused it: one that meets a compiled function comes out as a SystemError."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__
    return cause is not None
