import json

import pytest

from quantlab.errors import InputError, UnknownNameError
from quantlab.validation.thresholds import Gate


def test_round_trip_of_settings_that_are_not_the_defaults():
    gate = Gate(alpha=0.01, folds=4, rolling=True, min_trades=50)
    assert Gate.from_json(json.loads(json.dumps(gate.to_json()))) == gate != Gate()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", 5),
        ("alpha", 0.0),
        ("recent", 1.0),
        ("first", 0.0),
        ("min_activity", 5),
        ("max_missing", -0.1),
        ("folds", 0),
        ("min_trades", 0),
        ("embargo_days", -1),
        ("stress_costs", 0.5),
        ("stress_delay_bars", 0),
    ],
)
def test_a_setting_out_of_range_names_itself(name, value):
    with pytest.raises(InputError, match=f"`{name}` of the gate"):
        Gate(**{name: value})


def test_unknown_setting_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="min_trades"):
        Gate.from_json({"min_trade": 3})
