"""The candles that ship with quantlab: real hours of BTC/USD on Coinbase, 2017-12 to 2019-10.

Provenance, licence and known defects: ``data/sample/NOTICE.md``.
"""

from __future__ import annotations

import hashlib
import io

import numpy as np

from quantlab.errors import CandlesError
from quantlab.market.candles import COLUMNS, Candles
from quantlab.settings import sample_folder

FILE_NAME = "coinbase_BTC-USD_1h.parquet"
SHA256 = "e99ec3bbcf4b6b13c7c6840c831799fc0510c57eaae08bb9eeafd9ae4b51ed75"


def sample_candles() -> Candles:
    """Load the shipped candles, after checking the file against its SHA-256.

    The file's last row was still open when the source was downloaded, so it is not a candle and is left
    out. Nothing else is changed: its opens equal the previous close (invented by the source), and a few
    outages are flat rows with volume 0, see ``Candles.quality``.

    Returns
    -------
    Candles
        ``coinbase``, ``BTC/USD``, ``1h``: 16,449 bars, 2017-12-01T00:00Z to 2019-10-17T08:00Z, none missing.

    Raises
    ------
    CandlesError
        The file is not there or was altered.
    """
    import pyarrow.parquet as parquet

    path = sample_folder() / FILE_NAME
    if not path.is_file():
        raise CandlesError(f"the sample candles are not at {path}: check out or install quantlab again.")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise CandlesError(f"{path} was altered: its SHA-256 is {digest}, not {SHA256}: restore the file.")
    names = ("timestamp", *COLUMNS)
    table = parquet.ParquetFile(io.BytesIO(content)).read(columns=list(names))
    # `to_numpy`, like `read_table`, would import pandas, a quarter of the first sweep's wait
    columns = [np.from_dlpack(table[name].combine_chunks())[:-1] for name in names]
    return Candles.from_arrays("coinbase", "BTC/USD", "1h", *columns)
