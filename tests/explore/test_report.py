import html
import os
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from report_sample import sample_report, sample_section

from quantlab.backtest.trades import OPEN, TRADE_DTYPE
from quantlab.errors import InputError
from quantlab.explore.report import EvidenceRow, Luck, ReportData, render, write
from quantlab.explore.tables import text_columns, trade_rows

HOSTILE = "</title></script><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>"


class Page(HTMLParser):
    """Elements, attributes and the text a reader sees (scripts and styles aside)."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.words, self.open = [], [], []
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        while tag in self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open[-1:]):
            self.words.append(data)

    def count(self, tag):
        return sum(name == tag for name, _ in self.elements)


@pytest.fixture(scope="module")
def text():
    return render(sample_report(bars=1_500, trades=100))


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_asks_nothing_of_the_network(page):
    for tag, attrs in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href", "formaction"):
            value = attrs.get(name) or ""
            assert value == "" or value.startswith("#"), (tag, name, value)
        assert "url(" not in (attrs.get("style") or "").replace("url(#", "")
    policies = [attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv")]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'")
    assert "http" not in policies[0]


def test_says_the_verdict_first(page):
    assert page.text.startswith(
        "Refused: liquidity_sweep on coinbase BTC/USD 1h; Approved: sma_cross on synthetic momentum (planted)"
    )
    assert "1 of 2 runs approved" in page.text
    assert "does not survive higher costs" in page.text


def test_shows_every_part(page):
    for heading in (
        "Luck, and what was found",
        "Evidence",
        "Walk-forward with refit",
        "Surface",
        "Chosen cell",
        "Equity and drawdown",
        "Fill assumptions and costs",
        "Market and data",
        "Trades",
        "Provenance",
    ):
        assert page.text.count(heading) >= 2, heading
    for shown in (
        "pessimistic",
        "optimistic",
        "± 0.0005",
        "volume over its mean",
        "9f2c" * 16,
        "make research",
    ):
        assert shown in page.text
    assert "1 of 3 deciding tests passed" in page.text
    assert "3 of 3 deciding tests passed" in page.text
    assert "nothing traded enough: flat" in page.text
    ids = [attrs["id"] for _, attrs in page.elements if attrs.get("id")]
    charts = {
        f"s{k}-{name}"
        for k in (0, 1)
        for name in ("plane-0", "slices", "luck", "equity", "walk-forward-chart")
    }
    assert charts <= set(ids)


def test_ids_are_unique_so_that_links_and_charts_find_their_place(page):
    named = [(tag, attrs["id"]) for tag, attrs in page.elements if attrs.get("id")]
    ids = [name for tag, name in named if tag not in {"th", "lineargradient"}]
    assert len(ids) == len(set(ids))


def test_all_trades_are_there(page):
    section = sample_section(3_000, 150, False)
    assert len(section.trades) == 150
    one = Page(render(ReportData((section,))))
    rows = one.text.count("2017-") + one.text.count("2018-")
    assert one.count("tr") > 150
    for entry in section.trades["entry (UTC)"]:
        assert entry in one.text
    assert rows > 299  # an entry and an exit each, the open trade has none


def test_same_bytes_for_the_same_input(text):
    assert render(sample_report(bars=1_500, trades=100)) == text


def test_another_value_gives_other_bytes(text):
    report = sample_report(bars=1_500, trades=100)
    first = replace(report.sections[0], figures={"sharpe": 0.82})
    assert render(replace(report, sections=(first, report.sections[1]))) != text


def test_hostile_names_stay_text():
    section = sample_section(500, 20, False)
    plane = replace(
        section.planes[0],
        x_label=HOSTILE,
        y_label=HOSTILE,
        marks=((0.001, 1.5, HOSTILE),),
        title=HOSTILE,
        note=HOSTILE,
    )
    profile = (HOSTILE, *section.cell.profiles[0][1:])
    cell = replace(
        section.cell,
        params={HOSTILE: HOSTILE},
        units={HOSTILE: HOSTILE},
        profiles=(profile,),
        neighbours=[{HOSTILE: HOSTILE}],
        note=HOSTILE,
    )
    hostile = replace(
        section,
        strategy=HOSTILE,
        market_name=HOSTILE,
        reasons=(HOSTILE,),
        summary=HOSTILE,
        figures={HOSTILE: HOSTILE},
        evidence=(EvidenceRow(HOSTILE, 1.0, None, None, HOSTILE),),
        luck=Luck({HOSTILE: np.arange(9.0)}, 4.0, HOSTILE),
        folds=tuple({**fold, "params": {HOSTILE: HOSTILE}} for fold in section.folds),
        walk_forward_note=HOSTILE,
        planes=(plane,),
        cell=cell,
        curve=replace(section.curve, spans=((0, 1, HOSTILE),), note=HOSTILE),
        fills={HOSTILE: {HOSTILE: 1.0}},
        costs={HOSTILE: HOSTILE},
        trades=[{HOSTILE: HOSTILE}],
        close_ups=tuple(replace(c, title=HOSTILE, entries=((0, 1.0, HOSTILE),)) for c in section.close_ups),
        market={HOSTILE: HOSTILE},
        quality=((HOSTILE, HOSTILE, HOSTILE),),
        quality_notes=(HOSTILE,),
        provenance={HOSTILE: HOSTILE},
        commands=(HOSTILE,),
    )
    rendered = render(ReportData((hostile,), introduction=HOSTILE))
    tame = Page(render(ReportData((section,), introduction="x")))
    page = Page(rendered)
    assert page.count("img") == 0
    assert page.count("script") == tame.count("script")
    assert html.escape(HOSTILE) in rendered
    assert "<script>alert(1)" not in rendered
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)


def test_a_part_that_was_not_measured_is_absent():
    section = sample_section(500, 20, True)
    bare = replace(
        section, planes=(), cell=None, curve=None, folds=(), evidence=(), luck=None, trades=None, close_ups=()
    )
    page = Page(render(ReportData((replace(bare, fills={}, costs={}, market={}, quality=()),))))
    for heading in (
        "Luck",
        "Evidence",
        "Walk-forward",
        "Surface",
        "Chosen cell",
        "Equity",
        "Trades",
        "Fill assumptions",
    ):
        assert heading not in page.text
    assert "Approved: liquidity_sweep on coinbase BTC/USD 1h" in page.text


def test_no_trades_and_a_flat_curve_are_drawn():
    section = sample_section(500, 20, False)
    empty = trade_rows(np.zeros(0, TRADE_DTYPE), np.zeros(0, np.int64))
    curve = replace(section.curve, equity=np.ones(500))
    page = Page(render(ReportData((replace(section, trades=empty, close_ups=(), curve=curve),))))
    assert "trades of the chosen cell" not in page.text


def test_a_report_needs_a_section():
    with pytest.raises(InputError, match="at least one section"):
        ReportData(())


def test_write_replaces_and_leaves_nothing_else(tmp_path):
    report = ReportData((sample_section(300, 20, False),))
    target = write(report, tmp_path / "new folder" / "report.html")
    first = target.read_text(encoding="utf-8")
    target.write_text("old")
    assert write(report, target) == target
    assert target.read_text(encoding="utf-8") == first == render(report)
    assert os.listdir(target.parent) == ["report.html"]


def test_a_full_disk_leaves_the_old_report(tmp_path, monkeypatch):
    target = tmp_path / "report.html"
    target.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(ReportData((sample_section(500, 20, False),)), target)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]


def test_trade_rows_name_sides_reasons_and_times():
    record = np.zeros(2, TRADE_DTYPE)
    record["entry_bar"], record["exit_bar"] = [1, 3], [2, 4]
    record["side"], record["reason"] = [1, -1], [1, OPEN]
    record["equity_before"], record["profit"] = [1.0, 1.1], [0.1, -0.05]
    record["trade_return"] = [0.1, -0.04545]
    frame = trade_rows(record, np.arange(5) * 3_600_000)
    assert frame["side"].tolist() == ["long", "short"]
    assert frame["exit by"].tolist() == ["stop", "open"]
    assert frame["entry (UTC)"].tolist() == ["1970-01-01 01:00", "1970-01-01 03:00"]
    assert frame["exit (UTC)"].tolist() == ["1970-01-01 02:00", "–"]
    assert frame["after costs"].tolist() == ["+10.00%", "−4.54%"]
    assert frame["equity after"].tolist() == ["1.1000", "1.0500"]


def test_columns_are_written_by_their_metric():
    columns = text_columns(
        [{"fast": 10, "stop": 0.0005, "net_profit": -0.123, "sharpe": float("nan"), "ok": True}]
    )
    assert columns == {
        "fast": ["10"],
        "stop": ["0.0005"],
        "net profit": ["−12.3%"],
        "Sharpe": ["–"],
        "ok": ["yes"],
    }


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_draws_every_chart_in_a_browser(tmp_path):
    path = write(ReportData((sample_section(800, 40, False),)), tmp_path / "report.html")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    )
    more = f"--disable-component-update --disable-sync --user-data-dir={tmp_path / 'profile'}"
    command = [
        CHROMIUM,
        *flags.split(),
        *more.split(),
        "--enable-logging=stderr",
        "--virtual-time-budget=8000",
    ]
    done = subprocess.run(
        [*command, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120
    )
    drawn = Page(done.stdout)
    charts = [a["id"] for _, a in drawn.elements if "js-plotly-plot" in (a.get("class") or "")]
    expected = ["luck", "walk-forward-chart", "plane-0", "slices", "equity", "close-up-0"]
    assert charts == [f"s0-{name}" for name in expected]
    assert sum("main-svg" in (a.get("class") or "") for _, a in drawn.elements) >= len(charts)
    assert "CONSOLE" not in done.stderr


def test_the_small_one_has_static_pictures_no_script_and_says_the_same(text):
    report = sample_report(bars=1_500, trades=100)
    small = render(report, small=True)
    page, large = Page(small), Page(text)
    assert page.count("script") == page.count("noscript") == 0
    each = [1 + 1 + 1 + len(s.planes) + len(s.close_ups) for s in report.sections]  # luck, slices, equity
    assert page.count("svg") == sum(each)
    headings = [tag for tag, _ in page.elements].count("h3")
    assert headings == [tag for tag, _ in large.elements].count("h3")
    assert "1 of 3 deciding tests passed" in page.text
    for tag, attrs in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "form", "img"}
        assert not (attrs.get("href") or "#").strip("#").startswith("http"), attrs
    policy = next(attrs["content"] for _, attrs in page.elements if attrs.get("http-equiv"))
    assert "script" not in policy
    assert len(small.encode()) < 400_000 < len(text.encode())
    assert render(report, small=True) == small
    assert "Plotly.newPlot" in render(report)  # only while it was asked for


def test_a_small_one_takes_no_hostile_text_at_its_word():
    section = replace(sample_section(500, 20, approved=False), strategy=HOSTILE, reasons=(HOSTILE,))
    page = Page(render(ReportData((section,)), small=True))
    assert page.count("script") == page.count("img") == 0
    assert "alert(1)" in page.text
