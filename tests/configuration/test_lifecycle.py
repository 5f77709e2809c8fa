import itertools
import math

import pytest

from quantlab.configuration.lifecycle import STAGES, TRANSITIONS, check_transition, stage
from quantlab.errors import ConfigurationError, UnknownNameError


@pytest.mark.parametrize(
    ("net_profit", "sharpe", "trades", "approved", "expected"),
    [
        (-0.01, 3.0, 500, True, "PAPER"),  # PAPER is tested first
        (-0.01, 3.0, 5, True, "PAPER"),
        (0.5, 0.499, 500, True, "PAPER"),
        (0.5, 0.499, 5, True, "PAPER"),
        (0.5, 0.5, 29, True, "DISCOVERY"),
        (0.5, 9.0, 29, True, "DISCOVERY"),
        (0.0, math.nan, 0, False, "DISCOVERY"),  # nothing traded: nothing known
        (0.0, None, 0, False, "DISCOVERY"),
        (0.0, math.nan, 30, True, "PAPER"),  # traded, and still no Sharpe
        (0.0, 0.5, 30, False, "VALIDATION"),
        (0.5, 1.51, 100, True, "VALIDATION"),  # over 100, not 100
        (0.5, 1.5, 101, True, "VALIDATION"),  # over 1.5, not 1.5
        (0.5, 1.51, 101, False, "VALIDATION"),  # all of the gate's evidence
        (0.5, 1.51, 101, True, "MATURE"),
    ],
)
def test_stage(net_profit, sharpe, trades, approved, expected):
    assert stage(net_profit, sharpe, trades, approved) == expected


@pytest.mark.parametrize(("net_profit", "trades"), [(math.nan, 10), (None, 10), (0.1, -1)])
def test_a_cell_that_was_not_run_has_no_stage(net_profit, trades):
    with pytest.raises(ConfigurationError, match="not run"):
        stage(net_profit, 1.0, trades, False)


def test_exactly_the_allowed_transitions():
    allowed = {
        ("DISCOVERY", "VALIDATION"),
        ("VALIDATION", "MATURE"),
        ("MATURE", "DECAY"),
        ("DECAY", "PAPER"),
        ("DISCOVERY", "PAPER"),
        ("VALIDATION", "PAPER"),
        ("MATURE", "PAPER"),
        ("PAPER", "DISCOVERY"),
    }
    for pair in itertools.product(STAGES, STAGES):
        if pair in allowed:
            check_transition(*pair)
        else:
            with pytest.raises(ConfigurationError, match=f"from {pair[0]} to {pair[1]}"):
                check_transition(*pair)
    assert set(TRANSITIONS) == set(STAGES)


def test_an_unknown_stage_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="MATURE"):
        check_transition("VALIDATION", "MATUR")
