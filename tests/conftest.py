"""What all tests share: nothing may leave this machine, and no verdict depends on how busy it is."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("quantlab", deadline=None)
hypothesis.settings.load_profile("quantlab")

_connect = socket.socket.connect


def _guarded(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = address[0]
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise AssertionError(f"a test tried to reach {host}: tests stay on loopback.")
    _connect(self, address)


@pytest.fixture(autouse=True, scope="session")
def _no_way_out() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", _guarded)
    yield
    patch.undo()
