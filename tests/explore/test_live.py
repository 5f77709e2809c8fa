"""The live view in a browser: what it draws, and that it follows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from widget_page import CHROMIUM, chromium, plain, shown

from quantlab.explore.live import LiveView, Look, traits
from quantlab.lab import Lab
from quantlab.market.sample import sample_candles
from quantlab.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def judged(draws: int) -> Look:
    scores = np.random.default_rng(1).normal(1.0, 0.5, (2, draws))
    best = np.maximum.accumulate(np.random.default_rng(2).normal(0.8, 0.4, 400))
    nulls = {"mirrored": scores[0], "shuffled": scores[1]}
    told = "running 60 %, markets without an edge, on worker 1"
    named = "sma_cross, tpe, coinbase BTC/USD 1h"
    return Look(named, "running", told, 60.0, True, "", "sharpe", best, 2.4, nulls)


def test_it_draws_the_best_so_far_and_the_nulls_and_follows(browser: Any, tmp_path: Path) -> None:
    view = LiveView(lambda: judged(150))
    with shown(browser, view, tmp_path) as page:
        tab = page.tab
        root = tab.wait_for_selector(".qll[data-ready]")
        assert root.get_attribute("data-trials") == "400"
        assert root.get_attribute("data-nulls") == "300"
        captions = tab.locator("figcaption").all_text_contents()
        high = f"{judged(1).best[-1]:.3g}"
        assert captions[0] == f"sharpe, best of 400 trials: {high}"
        beaten = sum(int((s >= 2.4).sum()) for s in judged(150).nulls.values())
        assert captions[1] == f"300 markets without an edge, {beaten} did as well"
        assert tab.locator(".realtext").text_content() == "found: 2.4"
        heights = tab.locator("rect.null0").count()
        assert heights > 5
        tab.evaluate("change", plain(traits(judged(200))))
        tab.wait_for_selector('.qll[data-nulls="400"]')
        assert page.asked == []
        assert page.errors == []


def test_empty_states_say_so(browser: Any, tmp_path: Path) -> None:
    waiting = Look("a", "waiting for a worker", "queued", 0.0, True, metric="sharpe")
    with shown(browser, LiveView(lambda: waiting), tmp_path, dark=True) as page:
        page.tab.wait_for_selector(".qll.dark[data-ready]")
        assert page.tab.locator(".empty").text_content() == "no trial yet"
        assert page.tab.locator("figure").count() == 0
        page.tab.evaluate("window.cleanup()")
        assert page.errors == []


def test_a_closed_and_reopened_page_shows_the_job_that_went_on(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page").mkdir()
    with Lab(Settings(home=tmp_path / "home")) as lab:
        lab.put_candles(sample_candles()[:1_500])
        asked = {"sampler": "random", "trials": 60, "batch": 20, "seed": 4, "min_trades": 5}
        job = lab.submit("sma_cross", lab.candles("coinbase", "BTC/USD", "1h"), **asked)
        reached, may_go_on, save = threading.Event(), threading.Event(), lab.store.save_chunk

        def wait_after_one_batch(key: str, index: int, data: bytes) -> None:
            save(key, index, data)
            if index == 1:
                reached.set()
                may_go_on.wait(120)

        monkeypatch.setattr(lab.store, "save_chunk", wait_after_one_batch)
        work = threading.Thread(target=lab.work)
        work.start()
        try:
            assert reached.wait(120)
            first = lab.watch(job)
            with shown(browser, first, tmp_path / "page") as page:
                page.tab.wait_for_selector('.qll[data-ready][data-trials="20"]')
            first.close()
        finally:
            may_go_on.set()
            work.join(240)
        again = lab.watch(job)
        with shown(browser, again, tmp_path / "page") as page:
            page.tab.wait_for_selector('.qll[data-ready][data-trials="60"]')
            assert page.errors == []
        again.close()
