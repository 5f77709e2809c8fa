"""The pages about the strategies against their code: nothing on them may go stale."""

from __future__ import annotations

import importlib.util
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

from quantlab import strategies
from quantlab.space import Choice

DOCS = Path(__file__).resolve().parents[1] / "docs"
FOLDER = DOCS / "strategies"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("strategy_pages", DOCS / "strategies.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["strategy_pages"] = module
    spec.loader.exec_module(module)
    return module


PAGES = script()
LIBRARY = PAGES.library()


def section(name: str, heading: str) -> str:
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0].strip()


@pytest.mark.parametrize("file", PAGES.files())
def test_a_page_is_what_the_code_and_the_sample_say(file: str) -> None:
    made = PAGES.files()[file]()
    assert (FOLDER / file).read_text(encoding="utf-8") == made, "stale: run `python docs/strategies.py`"


def test_every_strategy_has_a_page_and_every_page_a_strategy() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES.files())
    assert set(LIBRARY) >= {"liquidity_sweep", "sma_cross", "flat", "momentum"}
    assert len(LIBRARY) == len(strategies._LIBRARY)


@pytest.mark.parametrize("name", LIBRARY)
def test_the_table_of_a_page_is_the_space(name: str) -> None:
    lines = [line for line in section(name, "Parameters").splitlines() if line.startswith("| `")]
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    space = strategies.get(name).space
    assert [row[0] for row in found] == [f"`{parameter.name}`" for parameter in space.parameters]
    for (_, role, span, default, unit, meaning), parameter in zip(found, space.parameters, strict=True):
        assert (role, unit, meaning) == (parameter.role, parameter.unit, parameter.meaning)
        assert meaning
        if isinstance(parameter, Choice):
            assert (span.split(", "), default) == (list(parameter.options), parameter.default)
        else:
            low, high = map(float, span.split(" to "))
            assert (low, high, float(default)) == (parameter.low, parameter.high, parameter.default)
    for clause in space.constraints:
        assert f"`{clause}`" in section(name, "Parameters")


@pytest.mark.parametrize("name", LIBRARY)
def test_a_page_has_a_numbered_rule_and_says_what_was_left_out(name: str) -> None:
    steps = re.findall(r"^(\d+)\. \*?\w+", section(name, "The rule"), re.MULTILINE)
    assert steps == [str(i + 1) for i in range(len(steps))]
    assert steps
    assert len(section(name, "What was left out")) > 5
    assert "Warm-up: " in section(name, "When it is known")
    assert section(name, "Source")
    rule = section(name, "The rule") + section(name, "When it is known") + section(name, "Parameters")
    assert set(re.findall(r"`(\w+)`", section(name, "The rule"))) <= set(strategies.get(name).space.names)
    assert all(f"`{parameter}`" in rule for parameter in strategies.get(name).space.names)


@pytest.mark.parametrize("name", LIBRARY)
def test_a_picture_is_small_and_shows_a_trade(name: str) -> None:
    path = FOLDER / f"{name}.svg"
    assert path.stat().st_size < 40_000
    root = ET.parse(path).getroot()
    marks = [e for e in root.iter("{http://www.w3.org/2000/svg}path") if e.get("stroke-width") == "1.6"]
    assert len(marks) == (0 if name in ("flat", "buy_and_hold") else 2)


def test_links_of_the_pages_lead_somewhere() -> None:
    for path in FOLDER.glob("*.md"):
        links = re.findall(r"\]\((?!https?://)([^)#]+)", path.read_text(encoding="utf-8"))
        assert [link for link in links if not (FOLDER / link).exists()] == []
