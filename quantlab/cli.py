"""The command line: the verbs of the lab, each a few lines over `Lab`, each with ``--json``.

Those about candles, checks and the database lie in `quantlab.verbs`. What they share, exit codes and errors:
`quantlab.terminal`. Nothing heavy is imported before a verb runs.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab import __version__
from quantlab.errors import ConfigurationError, InputError
from quantlab.terminal import (
    AnyQuestion,
    Question,
    SearchQuestion,
    answer,
    group,
    judged,
    open_lab,
    progress,
    studied,
    swept,
    verb,
)
from quantlab.verbs import AsJson, app, candles, check, database, holdout, jobs

if TYPE_CHECKING:
    from quantlab.backtest.plateau import Plateau
    from quantlab.backtest.surface import Cell, Surface

configuration = group("Exported configurations.")
app.add_typer(database.database, name="db")
app.add_typer(configuration, name="config")
app.add_typer(holdout.holdout, name="holdout")

Cluster = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Of a Dask scheduler whose workers compute it.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"quantlab {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def _cell(cell: Cell) -> dict[str, Any]:
    return {"params": cell.params, "metrics": cell.metrics}


def _found(best: Cell, plateau: Plateau) -> dict[str, Any]:
    figures = {name: getattr(plateau, name) for name in ("score", "mean", "half_width")}
    around = {**figures, "neighbours": plateau.neighbours.to_dict("records")}
    return {"best": _cell(best), "plateau": _cell(plateau.cell) | around}


def _told(best: Cell, plateau: Plateau) -> str:
    around = f"{plateau.metric} {plateau.mean:.3g} on average around it, score {plateau.score:.3g}"
    table = plateau.neighbours.to_string(index=False)
    return f"best     {best}\nplateau  {plateau.cell}\n         {around}\n{table}"


def _origin(surface: Surface) -> dict[str, Any]:
    execution, market = surface.execution.to_json(), surface.identity.to_json()
    return {"strategy": surface.strategy.name, "market": market, "execution": execution}


@verb(app)
def research(
    notebook: Annotated[
        bool, typer.Option("--notebook", help="Make an executed notebook of each approved run.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Where they go; by default notebooks/ of the lab."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the main job: sample candles, sweeps, evidence, verdicts, report; a notebook of each approved run.

    JSON: report, notebooks, findings [strategy, market, execution, key, plateau {params, metrics}, approved,
    reasons, configuration].
    """
    from quantlab.research import run

    with open_lab() as lab:
        where = (folder or lab.settings.home / "notebooks") if notebook or folder else None
        told: dict[str, Any] = {"progress": progress(), "say": lambda line: typer.echo(line, err=as_json)}
        found = run(lab, notebooks=where, **told)
    findings = [
        _origin(one.surface)
        | {"key": one.surface.key, "plateau": _cell(one.plateau.cell)}
        | {"approved": one.verdict.approved, "reasons": one.verdict.reasons}
        | {"configuration": one.approval and one.approval.path}
        for one in found.findings
    ]
    if as_json:
        answer({"report": found.report, "notebooks": found.notebooks, "findings": findings}, "", as_json)


@verb(app, "strategies")
def list_strategies(as_json: AsJson = False) -> None:
    """List the strategies with their parameters.

    JSON: strategies [name, parameters [name, kind, low, high (or options), default, unit, meaning, role],
    constraints, reference {parameter: values}].
    """
    from quantlab import strategies
    from quantlab.signals import load_packages

    load_packages()
    found = [strategies.get(name) for name in strategies.names()]
    listed = [{"name": s.name, **s.space.to_json(), "reference": s.reference} for s in found]
    lines = []
    for one in listed:
        lines += [one["name"], *(f"  {_described(p)}" for p in one["parameters"])]
        lines += [f"  constraint: {constraint}" for constraint in one["constraints"]]
    answer({"strategies": listed}, "\n".join(lines), as_json)


def _described(parameter: Mapping[str, Any]) -> str:
    p = parameter
    bounds = ", ".join(p["options"]) if "options" in p else f"{p['low']:g} to {p['high']:g}"
    return (
        f"{p['name']:<16} {bounds:<16} default {p['default']!s:<8} [{p['unit']}] {p['meaning']} ({p['role']})"
    )


@verb(app)
def sweep(question: Question, cluster: Cluster = None, as_json: AsJson = False) -> None:
    """Evaluate every cell of a grid; stored, and resumed where it was interrupted.

    JSON: strategy, market, execution, key, cells, axes {parameter: values}, metric, min_trades, best
    {params, metrics}, plateau {params, metrics, score, mean, half_width, neighbours}.
    """
    with swept(question, cluster) as (_, surface):
        best = surface.best(question.objective, question.min_trades)
        plateau = surface.plateau(question.objective, question.min_trades)
    document = {
        **_origin(surface),
        "key": surface.key,
        "cells": surface.size,
        "axes": {name: values.tolist() for name, values in surface.axes.items()},
        "metric": question.objective,
        "min_trades": question.min_trades,
        **_found(best, plateau),
    }
    answer(document, f"{surface!r}\n{_told(best, plateau)}\nkey {surface.key}", as_json)


@verb(app)
def search(question: SearchQuestion, as_json: AsJson = False) -> None:
    """Search a space with a sampler; every trial is stored and counted.

    JSON: strategy, market, execution, key, surface_key, sampler, seed, trials, budget, ended, metric,
    min_trades, best {params, metrics}, plateau {params, metrics, score, mean, half_width, neighbours}.
    """
    with studied(question) as (_, study):
        best = study.best()
        plateau = study.surface.plateau(question.objective, question.min_trades)
    names = ("key", "sampler", "seed", "budget", "ended", "min_trades")
    document = _origin(study.surface) | {name: getattr(study, name) for name in names}
    document |= {"surface_key": study.surface.key, "trials": study.n_trials, "metric": study.objective}
    text = f"{study!r}\n{_told(best, plateau)}\nkey {study.key}"
    answer(document | _found(best, plateau), text, as_json)
    if study.interrupted:
        raise KeyboardInterrupt


@verb(app)
def validate(question: AnyQuestion, as_json: AsJson = False) -> None:
    """Ask the gate whether what a sweep found is real; a refusal is an answer too (exit code 0).

    JSON: the verdict: approved, reasons, strategy, surface_key, market, execution, cell {params, metrics},
    evidence {tests, walk_forward, fills, trials_search, trials_ever, gate}.
    """
    with judged(question) as (_, verdict):
        answer(verdict.to_json(), verdict, as_json)


@verb(app)
def approve(
    question: AnyQuestion,
    by: Annotated[str, typer.Option(help="Who takes responsibility.")],
    reason: Annotated[str, typer.Option(help="Why; part of the document for ever.")],
    as_json: AsJson = False,
) -> None:
    """Approve and export what the gate approved; exit code 1 and the reasons if it refuses.

    JSON: approved, reasons, id, config_id, path (the last three null if refused).
    """
    with judged(question) as (lab, verdict):
        approval, reasons = None, verdict.reasons
        if verdict.approved:
            try:
                approval = lab.approve(verdict, by=by, reason=reason)
            except ConfigurationError as refusal:
                reasons = (str(refusal),)
    where = {name: getattr(approval, name, None) for name in ("id", "config_id", "path")}
    text = f"approved: {approval.path}" if approval else "\n  - ".join(["REFUSED", *reasons])
    answer({"approved": approval is not None, "reasons": reasons, **where}, text, as_json)
    if not approval:
        raise typer.Exit(1)


@verb(app)
def report(
    question: AnyQuestion,
    output: Annotated[Path | None, typer.Option(dir_okay=False, help="By default in reports/.")] = None,
    small: Annotated[bool, typer.Option("--small", help="Static pictures, no script: for a mail.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write one self-contained HTML file about a verdict.

    JSON: path, approved, bytes.
    """
    again = shlex.join(["quantlab", *sys.argv[1:]])
    with judged(question) as (lab, verdict):
        try:
            path = lab.report(verdict, path=output, commands=(again,), small=small)
        except OSError as error:
            raise InputError(f"the report cannot be written: {error}. Try another --output.") from error
    answer({"path": path, "approved": verdict.approved, "bytes": path.stat().st_size}, path, as_json)


@verb(configuration, "read")
def config_read(file: Path, as_json: AsJson = False) -> None:
    """Read a V3 document as a bot would: its parameters, or the reason why it must not be traded.

    JSON: tradable, reason, document (null if it must not be traded; exit code 1).
    """
    from quantlab.configuration import reader

    try:
        document = reader.read(file)
    except ConfigurationError as refusal:
        if as_json:
            answer({"tradable": False, "reason": str(refusal), "document": None}, "", as_json)
        raise
    parameters = document["strategy"]["parameters"]
    lines = [f"{document['strategy']['name']} {document['identity']['config_id']}"]
    lines += [f"  {name} = {parameter['value']}" for name, parameter in parameters.items()]
    answer({"tradable": True, "reason": None, "document": document}, "\n".join(lines), as_json)


def main() -> None:
    """Run the command line."""
    app(prog_name="quantlab")


__all__ = ["app", "candles", "check", "jobs", "main"]

if __name__ == "__main__":
    main()
