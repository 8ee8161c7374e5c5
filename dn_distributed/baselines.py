"""What classical sparse regression recovers of the same data: LASSO and orthogonal matching pursuit.

Both are scikit-learn's. How many coefficients they keep is chosen on the validation data, as everything is.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from dn_distributed import recovery, score_names, sparsity
from dn_distributed.config import Baseline
from dn_distributed.data import Splits
from dn_distributed.labels import EQUAL_ERRORS
from dn_distributed.scores import MSE, NMSE
from dn_distributed.training import Outcome

LAYER = "coefficients"
"""Name of the one layer ``[1, features]`` that a baseline's coefficients are counted as."""

_Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _lasso(inputs: _Array, targets: _Array) -> _Array:
    """Coefficients ``[path, features]`` for a path of penalties."""
    from sklearn.linear_model import lasso_path

    _, path, _ = lasso_path(inputs, targets)
    return np.asarray(path).T


def _matching_pursuit(inputs: _Array, targets: _Array) -> _Array:
    """Coefficients ``[features, features]`` with 1, 2, … of them non-zero."""
    from sklearn.linear_model import orthogonal_mp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it ends early where nothing is left to explain
        path = np.asarray(orthogonal_mp(inputs, targets, n_nonzero_coefs=inputs.shape[1], return_path=True))
    return np.atleast_2d(path.T)


_PATHS: Mapping[Baseline, Callable[[_Array, _Array], _Array]] = {"lasso": _lasso, "omp": _matching_pursuit}


def outcomes(name: Baseline, splits: Splits, seeds: Sequence[int]) -> list[Outcome]:
    """Fit each seed's regression without an intercept, and measure it as the networks are measured."""
    assert splits.truth is not None
    return [_outcome(name, splits, row, seed) for row, seed in enumerate(seeds)]


def _outcome(name: Baseline, splits: Splits, row: int, seed: int) -> Outcome:
    assert splits.truth is not None
    train = (part[row].double() for part in (splits.train.inputs, splits.train.targets))
    inputs, targets = (part.numpy() for part in train)
    path = torch.from_numpy(_PATHS[name](inputs, targets.ravel()).copy())
    errors = np.array([_scores(splits, "validation", row, estimate)["nmse"] for estimate in path])
    found = path[int(np.argmax(errors <= errors.min() + EQUAL_ERRORS))]  # paths begin with the sparsest
    scores = {
        score_names.final(split, score, stage): value
        for split in score_names.SPLITS
        for score, value in _scores(splits, split, row, found).items()
        for stage in score_names.STAGES
    }
    scores |= {
        key: float(value[0]) for key, value in recovery.measure(found[None], splits.truth[row : row + 1]).items()
    }
    weights = {LAYER: found[None].float()}
    masks = {LAYER: weights[LAYER] != 0}
    return Outcome(seed, scores, sparsity.count(masks), {f"{LAYER}.weight": weights[LAYER]}, masks)


def _scores(splits: Splits, name: str, row: int, estimate: Tensor) -> dict[str, float]:
    split = getattr(splits, name)
    targets = split.targets[row][None].double()
    outputs = (split.inputs[row].double() @ estimate)[None, :, None]
    parts = {score.name: score.parts(outputs, targets) for score in (NMSE, MSE)}
    return {score: float(top / bottom) for score, (top, bottom) in parts.items()}
