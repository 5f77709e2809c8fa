"""Work aside: what the call returns or raises is what the caller gets, however the clock ticks."""

from __future__ import annotations

import os
from concurrent.futures import Future

import pytest

from quantlab import threads
from quantlab.errors import InputError


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


@pytest.mark.parametrize(
    ("setting", "processors"), [("3", 3), (" 1 ", 1), ("", os.cpu_count()), (None, os.cpu_count())]
)
def test_threads_of_a_process_follow_the_environment(monkeypatch, setting, processors):
    monkeypatch.delenv(threads.SETTING, raising=False)
    if setting is not None:
        monkeypatch.setenv(threads.SETTING, setting)
    assert threads._processors() == processors


@pytest.mark.parametrize("setting", ["two", "0", "-1", "1.5"])
def test_a_number_of_threads_that_makes_no_sense_is_told(monkeypatch, setting):
    monkeypatch.setenv(threads.SETTING, setting)
    with pytest.raises(
        InputError, match=f"QUANTLAB_THREADS must be a whole number of at least 1, got '{setting}'"
    ):
        threads._processors()
