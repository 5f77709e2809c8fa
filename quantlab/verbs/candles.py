"""The verbs about candles: what is stored, the sample, a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantlab.errors import CandlesError
from quantlab.terminal import answer, open_lab, verb
from quantlab.verbs import AsJson, app

if TYPE_CHECKING:
    import pandas as pd

    from quantlab.market.candles import Candles

ExistingFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]
Exchange = Annotated[str, typer.Option(help="E.g. coinbase.")]
Symbol = Annotated[str, typer.Option(help="E.g. BTC/USD.")]
Timeframe = Annotated[str, typer.Option(help="1m, 5m, 15m, 1h, 4h or 1d.")]


@verb(app)
def markets(as_json: AsJson = False) -> None:
    """List the candles that are stored.

    JSON: markets [exchange, symbol, timeframe, first_ms, last_ms, rows, revision].
    """
    with open_lab() as lab:
        stored, frame = lab.store.markets(), lab.markets()
    text = frame.to_string(index=False) if stored else "no candles are stored: try `quantlab sample`."
    answer({"markets": [market._asdict() for market in stored]}, text, as_json)


@verb(app)
def sample(as_json: AsJson = False) -> None:
    """Store the sample that ships with quantlab: real BTC/USD hours of Coinbase.

    JSON: exchange, symbol, timeframe, first_ms, last_ms, bars, missing, fingerprint, revision.
    """
    from quantlab.market.sample import sample_candles

    _store(sample_candles(), as_json)


@verb(app, "import")
def import_candles(
    file: ExistingFile, exchange: Exchange, symbol: Symbol, timeframe: Timeframe, as_json: AsJson = False
) -> None:
    """Store candles of a .csv or .parquet file.

    Columns: timestamp (bar open: epoch milliseconds or ISO 8601, UTC unless it says otherwise), open, high,
    low, close, volume. Nothing is stored unless all of the file is sound.

    JSON: exchange, symbol, timeframe, first_ms, last_ms, bars, missing, fingerprint, revision.
    """
    from quantlab.market.candles import Candles

    frame = read_frame(file)
    _store(Candles.from_frame(frame, exchange=exchange, symbol=symbol, timeframe=timeframe), as_json)


def read_frame(file: Path) -> pd.DataFrame:
    """The frame in a .csv or .parquet file, timestamps parsed.

    Raises
    ------
    CandlesError
        It is neither, or cannot be read.
    """
    import pandas as pd

    readers: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    if file.suffix.lower() not in readers:
        raise CandlesError(f"{file} is neither .csv nor .parquet: convert it to one of them.")
    try:
        frame = readers[file.suffix.lower()](file)
        if "timestamp" in frame and isinstance(frame["timestamp"].dtype, pd.StringDtype):
            frame["timestamp"] = pd.to_datetime(frame["timestamp"], format="ISO8601", utc=True)
    except (ValueError, OSError) as error:
        raise CandlesError(f"{file} cannot be read as candles: {error}. Nothing was stored.") from error
    return frame


def _store(candles: Candles, as_json: bool) -> None:
    with open_lab() as lab:
        revision = lab.put_candles(candles)
    names = ("exchange", "symbol", "timeframe", "first_ms", "last_ms", "fingerprint")
    document = {name: getattr(candles, name) for name in names}
    document |= {"bars": len(candles), "missing": int(candles.missing.sum()), "revision": revision}
    answer(document, f"{candles!r}\n{candles.quality()}\nstored as revision {revision}", as_json)
