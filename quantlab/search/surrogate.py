"""Bayesian optimisation with scikit-optimize's models: a Gaussian process, a random forest, extra trees.

Once per batch a model is fitted to the best and the most recent cells. Each cell of the batch is the new
candidate with the highest mean + kappa * standard deviation, kappa drawn anew for each from an exponential
distribution: some cells exploit, some explore, and the model is fitted once, not once per cell. Beside a
forest, which knows little of how unsure it is, one in five is drawn blindly, so that it does not stay in a
wrong valley. Candidates are uniform draws and steps of many lengths away from the best cells, so
constraints cost nothing.

The model learns the normal score of each value's rank, not the value: a few terrible cells then do not drown
what tells the good ones apart, and a metric and its logarithm are the same to it. Trees grow until their
leaves hold one cell: a sweep's figures have no noise, and leaves of three cells, scikit-optimize's default,
blur sixty trials into twenty levels. Batches of a forest are small, since it is fitted in a quarter of a
second and a new cell changes much of it.

scikit-optimize's gradient-boosted model and its `dummy_minimize` fail with scikit-learn 1.9 and are left out.

Source: F. Hutter, H. Hoos, K. Leyton-Brown, "Sequential model-based optimization for general algorithm
configuration", LION 5 (2011), for steps around the best and for blind draws; the same, "Parallel algorithm
configuration", LION 6 (2012), for random kappas; J. Snoek, H. Larochelle, R. Adams, "Practical Bayesian
optimization", NeurIPS 25 (2012); D. Salinas, H. Shen, V. Perrone, "A quantile-based approach for
hyperparameter transfer learning", ICML (2020), for normal scores; F. Hutter and others, "Algorithm runtime
prediction", Artificial Intelligence 206 (2014), section 4.3.2, for the deviation of a forest.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from quantlab.errors import InputError
from quantlab.search.codes import allowed, from_unit, to_unit
from quantlab.search.learner import Learner
from quantlab.space import Choice, Space

_BEST, _RECENT = 40, 160
_UNIFORM, _AROUND, _STEPS = 2_000, 10, 60
_FAR = -2.5, -0.5
"""Powers of ten between which the length of a step away from a good cell lies, a fraction of each range."""


class Surrogate(Learner):
    """Learns from what it is told; uniform draws until ten cells have a defined value.

    An undefined value counts as the worst known one. One objective only.

    Parameters
    ----------
    space : Space
    seed : int
    """

    kind = ""
    how: ClassVar[Mapping[str, Any]] = {}
    """Settings of the model."""
    blind = 0.0
    """Share of a batch that is drawn at random, whatever the model says."""
    batch = 10
    startup = 10

    def __init__(self, space: Space, seed: int) -> None:
        _skopt(self.name)
        super().__init__(space, seed)

    def _learned(self, n: int, rng: np.random.Generator) -> np.ndarray:
        candidates = rng.permutation(self._candidates(rng))  # of equal scores none is preferred
        if not len(candidates):
            return candidates
        with warnings.catch_warnings():
            # a length scale at its bound only says that a parameter does not matter; a variance that
            # rounds to below zero is set to zero
            quiet = "The optimal value found for dimension|lbfgs failed|Predicted variances smaller than 0"
            warnings.filterwarnings("ignore", quiet)
            mean, deviation = self._predicted(self._fitted(rng), self._features(candidates))
        taken = np.zeros(len(candidates), bool)
        kappas = rng.exponential(size=min(n, len(candidates)))
        for kappa, blind in zip(kappas, rng.random(len(kappas)) < self.blind, strict=True):
            score = np.where(taken, -np.inf, 0.0 if blind else mean + kappa * deviation)
            taken[int(np.argmax(score))] = True
        found = candidates[taken]
        return found[self._seen.add(found)]

    def _fitted(self, rng: np.random.Generator) -> Any:
        kept = self._remembered(_BEST, _RECENT)
        values = self._values[kept, 0]
        features = self._features(self._codes[kept])
        seed = int(rng.integers(2**31))
        box = [(0.0, 1.0)] * features.shape[1]
        model = _skopt(self.name).cook_estimator(self.kind, space=box, random_state=seed, **self.how)
        return model.fit(features, normal_scores(np.where(np.isnan(values), np.nanmin(values), values)))

    def _predicted(self, model: Any, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each row."""
        return model.predict(features, return_std=True)

    def _candidates(self, rng: np.random.Generator) -> np.ndarray:
        """Allowed cells that were not proposed yet, without repetition."""
        width = len(self._space)
        best = to_unit(self._space, self._codes[self._remembered(_AROUND, 0)])
        near = np.repeat(best, _STEPS, axis=0)
        moved = rng.random(near.shape) < max(0.3, 1.0 / width)
        far = 10.0 ** rng.uniform(*_FAR, (len(near), 1))
        near = np.where(moved, near + far * rng.standard_normal(near.shape), near)
        codes = from_unit(self._space, np.concatenate([rng.random((_UNIFORM, width)), near % 1.0]))
        codes = np.unique(codes[allowed(self._space, codes)], axis=0)
        return codes[~self._seen.has(codes)]

    def _features(self, codes: np.ndarray) -> np.ndarray:
        """Numbers in [0, 1], a choice as one column per option."""
        unit = to_unit(self._space, codes)
        columns = []
        for i, p in enumerate(self._space.parameters):
            if isinstance(p, Choice):
                columns.append(np.eye(len(p.options))[codes[:, i].astype(int)])
            elif p.low < p.high:
                columns.append(unit[:, i : i + 1])
        return np.concatenate(columns or [np.zeros((len(codes), 1))], axis=1)


class GPSampler(Surrogate):
    """A Gaussian process with a Matern kernel: for few, costly cells and few parameters."""

    name, kind = "gp", "GP"


class ForestSampler(Surrogate):
    """A random forest: for choices and steps."""

    name, kind, blind, batch = "rf", "RF", 0.2, 5
    how: ClassVar[Mapping[str, Any]] = {"n_estimators": 50, "min_samples_leaf": 1}

    def _predicted(self, model: Any, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As the forest's own ``predict``, which checks the same array twice for every tree."""
        features = np.ascontiguousarray(features, np.float32)
        mean, square = np.zeros((2, len(features)))
        for tree in model.estimators_:
            leaf = tree.tree_.apply(features)
            level = tree.tree_.value[leaf, 0, 0]
            mean += level
            square += level**2 + tree.tree_.impurity[leaf]
        trees = len(model.estimators_)
        mean /= trees
        return mean, np.sqrt(np.maximum(square / trees - mean**2, 0.0))


class ExtraTreesSampler(ForestSampler):
    """Extremely randomised trees: smoother than a random forest."""

    name, kind = "et", "ET"


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Quantile of the standard normal distribution at each value's place among them; equal ones are equal.

    The place of the k-th of n values, counted from one, is (k - 0.5) / n.
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    scores: np.ndarray = ndtri((rankdata(values) - 0.5) / len(values))
    return scores


def _skopt(name: str) -> Any:
    try:
        import skopt.utils
    except ImportError as error:
        raise InputError(
            f"the sampler {name!r} needs scikit-optimize, which is not installed: "
            'pip install "scikit-optimize>=0.10.2,<0.11".'
        ) from error
    return skopt.utils
