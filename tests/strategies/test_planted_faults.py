from __future__ import annotations

import numpy as np
import pytest
from faulty import FAULTS, altered, made

from quantlab.errors import InputError, UnknownNameError
from quantlab.indicators import shift
from quantlab.market.synthetic import garch
from quantlab.signals import Signals, Strategy
from quantlab.space import Space
from quantlab.testing import ContractError, check_strategy

CANDLES = garch(400, seed=3)


def test_the_clean_strategy_passes_and_the_candles_stay_as_they_are() -> None:
    before = {name: getattr(CANDLES, name).copy() for name in ("open", "close", "volume", "flags")}
    check_strategy(made("clean"), CANDLES)
    for name, column in before.items():
        assert np.array_equal(getattr(CANDLES, name), column)


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_caught(name: str) -> None:
    strategy, words = FAULTS[name]
    with pytest.raises(ContractError, match=words) as caught:
        check_strategy(strategy, CANDLES)
    assert str(caught.value).startswith(f"{name}: ")


def test_the_message_names_parameter_cell_and_bar() -> None:
    strategy, _ = FAULTS["negative_shift"]
    with pytest.raises(ContractError) as caught:
        check_strategy(strategy, CANDLES)
    words = str(caught.value)
    for part in (
        "the long entry at 2018-0",
        "2018-0",
        "'window': ",
        "'threshold': ",
        "shift what is not known yet",
    ):
        assert part in words


def test_a_strategy_may_be_lopsided_on_purpose() -> None:
    strategy, _ = FAULTS["not_mirrored"]
    check_strategy(strategy, CANDLES, mirrored=False)


def test_one_side_alone_needs_no_mirror() -> None:
    check_strategy(made("long_only", altered(short=lambda *_: None)), CANDLES)


def test_candles_shorter_than_twice_the_warmup_are_refused() -> None:
    with pytest.raises(InputError, match="needs up to 40 bars of warm-up and the candles have 79"):
        check_strategy(made("clean"), CANDLES[:79])


def test_unknown_name_gets_a_suggestion() -> None:
    import quantlab.strategies  # noqa: F401

    with pytest.raises(UnknownNameError, match="did you mean 'sma_cross'"):
        check_strategy("sma_kross")


def test_a_contract_error_is_an_assertion_error() -> None:
    assert issubclass(ContractError, AssertionError)


def test_a_strategy_without_parameters_can_be_checked() -> None:
    def rising(candles, p):
        return Signals(long=candles.close > shift(candles.close, 1))

    check_strategy(Strategy("rising", Space(owner="rising"), rising, lambda p: 2), CANDLES)
    with pytest.raises(ContractError, match="rising: the warm-up alone must give the same decision"):
        check_strategy(Strategy("rising", Space(owner="rising"), rising, lambda p: 1), CANDLES)
