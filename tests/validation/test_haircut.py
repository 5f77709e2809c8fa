"""Corrections for many tests against published tables, another library, and their own bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from quantlab.validation.haircut import CORRECTIONS, adjusted_p, haircut_sharpe, sharpe_of_p, two_sided_p

# Harvey, Liu & Zhu (2016), table 4: ten tests at 5 %
T_RATIOS = [1.99, 2.63, 2.21, 3.43, 2.17, 2.64, 4.56, 5.34, 2.75, 2.49]
P_VALUES = np.array([4.66, 0.85, 2.71, 0.06, 3.00, 0.84, 0.00, 0.00, 0.60, 1.28]) / 100


def test_the_published_example_of_ten_tests():
    """Bonferroni finds 3 of them, Holm 4 and Benjamini, Hochberg & Yekutieli 6."""
    assert 2 * stats.norm.sf(T_RATIOS) == pytest.approx(P_VALUES, abs=1.5e-4)  # t to two digits
    found = adjusted_p(P_VALUES)
    assert {name: int((p <= 0.05).sum()) for name, p in found.items()} == {
        "bonferroni": 3,
        "holm": 4,
        "bhy": 6,
    }


def test_the_published_haircut_of_a_sharpe_ratio():
    """Harvey & Liu (2015), the printed run of their program: 120 months, an annual Sharpe ratio of 1 that is
    0.912 after autocorrelation, 100 tests: adjusted p .465, Sharpe 0.232, haircut 74.6 %.
    """
    months, tests, rho = 120, 100, 0.1
    annual = (1 + 2 * rho / (1 - rho) * (1 - (1 - rho**12) / (12 * (1 - rho)))) ** -0.5
    assert annual == pytest.approx(0.912, abs=5e-4)
    p = two_sided_p(annual / math.sqrt(12), months)
    assert tests * p == pytest.approx(0.465, abs=5e-4)
    left = haircut_sharpe(annual / math.sqrt(12), months, np.zeros(tests - 1))["bonferroni"] * math.sqrt(12)
    assert left == pytest.approx(0.232, abs=5e-4)
    assert 1 - left / annual == pytest.approx(0.746, abs=5e-4)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_and_bhy_are_those_of_a_plain_loop_and_scipy(values):
    p = np.array(values)
    found = adjusted_p(p)
    order = sorted(range(len(p)), key=lambda i: p[i])
    for name, values in found.items():
        assert (values >= p - 1e-15).all()
        assert (values <= 1).all()
        assert (np.diff(values[order]) >= -1e-12).all(), name
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, (len(p) - rank) * p[i])
        assert found["holm"][i] == pytest.approx(min(1.0, highest))
    assert found["bhy"] == pytest.approx(stats.false_discovery_control(p, method="by"))
    assert (found["holm"] <= found["bonferroni"] + 1e-12).all()


def test_a_p_value_and_its_sharpe_ratio_go_both_ways():
    for ratio in (0.01, 0.08, 0.3):
        assert sharpe_of_p(float(two_sided_p(ratio, 900)), 900) == pytest.approx(ratio)
    assert sharpe_of_p(1.0, 900) == 0.0
    assert two_sided_p(0.1, 400) == pytest.approx(2 * stats.t.sf(0.1 * 20, 399))


def test_one_trial_alone_is_cut_by_nothing_and_more_trials_cut_more():
    rng = np.random.default_rng(0)
    alone = haircut_sharpe(0.1, 1_000, np.zeros(0))
    assert alone == {name: pytest.approx(0.1) for name in CORRECTIONS}
    left = [haircut_sharpe(0.1, 1_000, rng.normal(0, 0.02, n)) for n in (1, 10, 100, 1_000)]
    for name in CORRECTIONS:
        values = [one[name] for one in left]
        assert sorted(values, reverse=True) == values
    assert left[-1]["bonferroni"] < 0.06


def test_signs_nan_and_the_very_certain():
    assert haircut_sharpe(-0.1, 1_000, np.zeros(5))["holm"] == pytest.approx(
        -haircut_sharpe(0.1, 1_000, np.zeros(5))["holm"]
    )
    for ratio, returns in ((math.nan, 900), (0.1, 2)):
        assert all(math.isnan(v) for v in haircut_sharpe(ratio, returns, np.zeros(3)).values())
    assert haircut_sharpe(3.0, 5_000, np.zeros(3))["bhy"] <= 3.0
    assert haircut_sharpe(0.1, 900, np.array([math.nan, 0.0])) == haircut_sharpe(0.1, 900, np.zeros(1))
