"""The honest gate: splits, walk-forward with refit, the tests of a candidate, and the verdict."""
