"""Long calls tell how far they are, to whoever listens on their own thread."""

from __future__ import annotations

import threading

import pytest

from quantlab.progress import heard, tell


def test_a_listener_hears_while_it_lasts_and_only_on_its_thread() -> None:
    said: list[tuple[float, str]] = []
    tell(0.1, "before")
    with heard(lambda share, step: said.append((share, step))):
        tell(0.5, "inside")
        other = threading.Thread(target=tell, args=(0.6, "another thread"))
        other.start()
        other.join()
        tell(7.0, "beyond")
    tell(0.9, "after")
    assert said == [(0.5, "inside"), (1.0, "beyond")]


def test_a_listener_that_raises_stops_the_call() -> None:
    def refuse(share: float, step: str) -> None:
        raise RuntimeError(step)

    with heard(refuse), pytest.raises(RuntimeError, match="walk"):
        tell(0.0, "walk")
    tell(0.0, "nobody listens any more")
