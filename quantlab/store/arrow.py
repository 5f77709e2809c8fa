"""Arrays as compressed Arrow: an IPC stream with one float64 column, zstd."""

from __future__ import annotations

import numpy as np

_NAME = "values"


def pack(values: np.ndarray) -> bytes:
    """Write an array as an Arrow IPC stream.

    Parameters
    ----------
    values : ndarray of float64, any shape
        Written in C order; NaN stays NaN, bit for bit.
    """
    import pyarrow as pa

    flat = np.ascontiguousarray(values, np.float64).ravel()
    batch = pa.record_batch([pa.array(flat)], names=[_NAME])
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def unpack(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Read what `pack` wrote, as a read-only float64 array of `shape`."""
    import pyarrow as pa

    with pa.ipc.open_stream(data) as reader:
        (column,) = reader.read_all().columns
    values = column.to_numpy().reshape(shape)
    values.flags.writeable = False
    return values
