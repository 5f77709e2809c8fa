"""A plane as a PNG, written with the standard library: what is left of a widget where no widget is shown."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from quantlab.explore.planes import Plane
from quantlab.figures.colours import PAPER, UNDEFINED, rgb

_HEIGHT, _GAP = 240, 12


def png(panes: Sequence[Plane]) -> bytes:
    """The panes side by side, lowest row below; undefined cells grey.

    Parameters
    ----------
    panes : sequence of Plane
        At least one.
    """
    pictures = [_pixels(pane) for pane in panes]
    height = max(picture.shape[0] for picture in pictures)
    wide = [np.concatenate([_padded(picture, height), _blank(height, _GAP)], axis=1) for picture in pictures]
    return _encoded(np.concatenate(wide, axis=1)[:, :-_GAP])


def _pixels(pane: Plane) -> np.ndarray:
    values, scale = pane.values[::-1], pane.scale
    step = max(1, -(-max(values.shape) // 1_000))
    values = values[::step, ::step]
    colours = np.array([rgb(colour) for colour in scale.colours])
    place = np.clip((values - scale.low) / (scale.high - scale.low), 0, 1) * (len(colours) - 1)
    known = ~np.isnan(place)
    left = np.minimum(np.where(known, place, 0).astype(int), len(colours) - 2)
    share = (np.where(known, place, 0) - left)[..., None]
    mixed = colours[left] * (1 - share) + colours[left + 1] * share
    pixels = np.where(known[..., None], np.rint(mixed), rgb(UNDEFINED)).astype(np.uint8)
    zoom = max(1, _HEIGHT // max(pixels.shape[0], pixels.shape[1] // 2))
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _blank(height: int, width: int) -> np.ndarray:
    return np.broadcast_to(rgb(PAPER).astype(np.uint8), (height, width, 3))


def _padded(picture: np.ndarray, height: int) -> np.ndarray:
    return np.concatenate([picture, _blank(height - picture.shape[0], picture.shape[1])], axis=0)


def _encoded(pixels: np.ndarray) -> bytes:
    """A PNG of 8-bit colours: signature, header, one compressed block of rows without filter, end."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
