"""The strategy that somebody names: one of the registry, of a module, or of a file."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from quantlab.errors import InputError, UnknownNameError
from quantlab.signals import REGISTRY, Strategy, find_strategy

_DECORATE = "decorate its signal function with @ql.strategy, or assign a quantlab.signals.Strategy"


def load_strategy(target: str) -> Strategy:
    """The strategy called `target`.

    Parameters
    ----------
    target : str
        ``name`` of the registry, ``module:name`` or ``folder/file.py:name``, where the name is that of a
        strategy, of its signal function or of a variable. A module or file with one strategy needs no name:
        ``file.py`` or ``module:``. The working directory is searched for modules first.

    Raises
    ------
    InputError
        There is no such module or file, it cannot be imported, or it holds no strategy or several.
    UnknownNameError
        There is no strategy of that name; the nearest one is suggested.
    """
    place, colon, name = target.rpartition(":") if not target.endswith(".py") else (target, ":", "")
    if not colon:
        return find_strategy(target)
    module = _from_file(Path(place)) if place.endswith(".py") else _from_module(place)
    found = _strategies(module)
    if not found:
        raise InputError(f"{place} defines no strategy: {_DECORATE}.")
    if name and name not in found:
        raise UnknownNameError(f"strategy in {place}", name, found)
    if name:
        return found[name]
    several = sorted({strategy.name for strategy in found.values()})
    if len(several) > 1:
        raise InputError(f"{place} defines several strategies: add one of :{', :'.join(several)}.")
    return next(iter(found.values()))


def _from_file(path: Path) -> ModuleType:
    path = path.expanduser().resolve()
    if not path.is_file():
        folder = path.parent
        beside = [file.name for file in folder.glob("*.py")] if folder.is_dir() else []
        raise UnknownNameError(f"file in {folder}", path.name, beside)
    name = f"checked_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # its name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _search(path.parent)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _unimportable(str(path), error) from error
    return module


def _from_module(name: str) -> ModuleType:
    _search(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise InputError(
                f"there is no module {error.name!r} in {Path.cwd()} nor among the installed ones: give a "
                "file such as my_strategies.py:name, or a name that `quantlab strategies` lists."
            ) from None
        raise _unimportable(name, error) from error
    except Exception as error:
        raise _unimportable(name, error) from error


def _search(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _unimportable(what: str, error: Exception) -> InputError:
    lines = [f.lineno for f in inspect.getinnerframes(error.__traceback__) if f.filename == what]  # type: ignore[arg-type]
    at = f" in line {lines[-1]}" if lines else ""
    return InputError(f"{what} cannot be imported, it raises {type(error).__name__}{at}: {error}")


def _strategies(module: ModuleType) -> dict[str, Strategy]:
    """By the name of the strategy, of its function, or of a variable."""
    found: dict[str, Strategy] = {}
    for strategy in REGISTRY.values():
        function = inspect.unwrap(strategy.signals)
        if function.__module__ == module.__name__:
            found |= {strategy.name: strategy, function.__name__: strategy}
    named = {name: value for name, value in vars(module).items() if isinstance(value, Strategy)}
    return found | {value.name: value for value in named.values()} | named
