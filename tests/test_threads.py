"""Work aside: what the call returns or raises is what the caller gets, however the clock ticks."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from quantlab import threads


class LateFuture(Future):
    """Ends just after a wait for it ran out."""

    def exception(self, timeout=None):
        if timeout is not None and not self.done():
            self.set_result("found")
            raise TimeoutError
        return super().exception(timeout)


def test_a_call_that_ends_as_the_wait_runs_out_is_no_error(monkeypatch):
    class Leaders:
        def submit(self, call):
            return LateFuture()

    monkeypatch.setattr(threads, "_leaders", Leaders)
    assert threads.aside(lambda: None) == "found"


def test_a_timeout_of_the_call_itself_is_raised():
    def call():
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        threads.aside(call)
