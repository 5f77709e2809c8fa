"""The test that ends early both ways: level, p-value and agreement with all draws, by an oracle."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, norm

from quantlab.validation.sequential import ENOUGH, RISK, Draws, endings, enough

DESIGNS = [(19, 0.05), (39, 0.05), (199, 0.05), (201, 0.05), (99, 0.1), (332, 0.0304), (60, 0.3)]


def urn(most: int, alpha: float) -> dict[tuple[int, int, bool], Fraction]:
    """Chance of each ending (as good, drawn, yes) of a test, draw by draw from Polya's urn."""
    draws, alive, ended = Draws(most, alpha), {0: Fraction(1)}, {}
    for drawn in range(1, most + 1):
        later: dict[int, Fraction] = {}
        for as_good, chance in alive.items():
            up = Fraction(as_good + 1, drawn + 1)
            for count, weight in ((as_good + 1, up), (as_good, 1 - up)):
                later[count] = later.get(count, Fraction(0)) + chance * weight
        alive = {}
        for as_good, chance in later.items():
            if draws.answered(as_good, drawn):
                yes = draws.p(as_good, drawn) <= alpha
                ended[as_good, drawn, yes] = chance
            else:
                alive[as_good] = chance
    assert not alive
    return ended


@pytest.mark.parametrize(("most", "alpha"), DESIGNS)
def test_p_is_the_chance_of_ending_as_early_or_earlier(most, alpha):
    spent, ended = Fraction(0), urn(most, alpha)
    assert sum(ended.values()) == 1
    for (as_good, drawn, yes), chance in ended.items():
        p = Draws(most, alpha).p(as_good, drawn)
        if yes:
            spent += chance
            assert p == pytest.approx(float(spent), rel=1e-9)
        else:
            assert p > alpha
    assert spent <= Fraction(alpha) * (1 + Fraction(1, 10**9))


@settings(deadline=None, max_examples=60)
@given(st.integers(19, 400), st.floats(0.003, 0.2))
def test_the_level_is_kept_and_hardly_wasted(most, alpha):
    times, ps = endings(most, alpha)
    whole = int(alpha * (most + 1) * (1 + 1e-12))  # of most + 1 places those that reject without an early end
    assert len(times) == len(ps) == whole
    assert list(times) == sorted(set(times))
    assert list(ps) == sorted(ps)
    if whole:
        assert ps[-1] <= alpha
        assert ps[-1] >= whole / (most + 1) * (1 - 1e-9)  # never less than all draws would spend
        assert times[-1] <= most


@pytest.mark.parametrize(("most", "alpha"), DESIGNS)
def test_an_early_yes_would_hardly_ever_have_become_a_no(most, alpha):
    times, ps = endings(most, alpha)
    few = len(times) - 1
    late = [betabinom.sf(few - k, most - t, k + 1, t - k + 1) for k, t in enumerate(times)]
    soon = [betabinom.sf(few - k, most - t + 1, k + 1, t - k) for k, t in enumerate(times) if t > k]
    early = max(late) > 1e-9
    assert max(late) <= RISK + 1e-9
    assert min(soon) > (RISK if early else 0.0)  # a draw earlier it would have been too soon
    assert early == (most in (201, 332, 60))  # the others have nothing to spend on it
    assert early == (ps[-1] > (few + 1) / (most + 1) * 1.001)


@pytest.mark.parametrize("alpha", [0.05, 0.0304, 0.0076, 0.002])
@pytest.mark.parametrize("few", [1, 9])
def test_enough_draws_leave_something_for_an_early_yes(alpha, few):
    times, ps = endings(enough(few, alpha), alpha)
    assert len(times) == few + 1
    assert times[0] < enough(few, alpha) * (0.4 if few == 9 else 0.92)
    assert alpha * 0.97 < ps[-1] <= alpha


def test_without_an_edge_it_says_yes_as_often_as_the_level():
    """20,000 markets that are one of many alike: at 5 % between 4.7 and 5.3 (two standard deviations)."""
    rng, draws = np.random.default_rng(3), Draws(202, 0.05)
    yes, made = 0, 0
    for _ in range(20_000):
        luck, as_good, drawn = rng.random(), 0, 0
        while not draws.answered(as_good, drawn):
            as_good += rng.random() < luck
            drawn += 1
        made += drawn
        yes += draws.p(as_good, drawn) <= 0.05
    assert 940 <= yes <= 1_060
    assert made / 20_000 < 60


def test_without_a_level_the_tenth_as_good_ends_it():
    draws = Draws(199)
    assert not draws.answered(ENOUGH - 1, 150)
    assert draws.answered(ENOUGH, 40)
    assert draws.answered(0, 199)
    assert draws.p(ENOUGH, 40) == ENOUGH / 40
    assert draws.p(3, 199) == 4 / 200


def test_too_few_draws_can_say_nothing_but_no():
    draws = Draws(10, 0.05)
    assert endings(10, 0.05) == ((), ())
    assert draws.answered(0, 0)
    assert draws.p(0, 10) > 0.05


def power(draws: Draws, times: tuple[int, ...]) -> tuple[float, float]:
    """Chance of a yes, and mean draws, for a find 2.5 standard errors above what luck finds in the mean."""
    places = np.linspace(-5.0, 5.0, 201)
    weights = norm.pdf(places) / norm.pdf(places).sum()
    luck = norm.sf(2.5 + places)[:, None]  # of one null market, to do as well
    alive = np.zeros((len(places), len(times)))
    alive[:, 0] = 1.0
    yes, made = 0.0, 0.0
    for drawn in range(1, draws.most + 1):
        made += weights @ alive.sum(1)
        alive = alive * (1.0 - luck) + np.pad(alive[:, :-1] * luck, ((0, 0), (1, 0)))
        for as_good, time in enumerate(times):
            if drawn >= time:
                yes += weights @ alive[:, as_good]
                alive[:, as_good] = 0.0
    return yes, made


def test_it_finds_as_much_as_all_draws_with_half_of_them():
    """The figures of docs/honesty.md."""
    early, made = power(Draws(202, 0.05), endings(202, 0.05)[0])
    whole, every = power(Draws(199, 0.05), (199,) * 10)
    assert (round(early, 3), round(whole, 3)) == (0.795, 0.796)
    assert (round(made), round(every)) == (93, 177)
