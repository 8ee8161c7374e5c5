from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dn_distributed.config import Pruning
from dn_distributed.pruning import masks, prune

FLOATS = st.floats(-2, 2, width=32) | st.just(0.0) | st.just(-0.0)
THRESHOLDS = st.floats(0, 3, width=32)
WEIGHTS = st.lists(FLOATS, min_size=12, max_size=12).map(lambda w: {"fc": torch.tensor(w).view(3, 4)})

Weights = dict[str, Tensor]

quick = settings(deadline=None, max_examples=50)


def kept(weight: list[float], threshold: float) -> list[bool]:
    return masks({"fc": torch.tensor(weight)}, threshold)["fc"].tolist()


def test_weights_below_the_threshold_go_and_the_threshold_itself_stays() -> None:
    assert kept([0.25, -0.25, 0.24, -0.24, 0.0, 1.0], 0.25) == [True, True, False, False, False, True]


def test_pruned_weights_are_zero_and_the_others_unchanged() -> None:
    pruned = prune({"fc": torch.tensor([0.125, -0.5, 0.25])}, 0.25)["fc"]
    assert pruned.tolist() == [0.0, -0.5, 0.25]


def test_layers_keep_their_names_and_order() -> None:
    weights = {name: torch.ones(2, 2) for name in ("fc2", "fc1", "fc3")}
    assert list(masks(weights, 0.1)) == list(prune(weights, 0.1)) == ["fc2", "fc1", "fc3"]


@given(WEIGHTS)
@quick
def test_threshold_zero_removes_nothing_that_is_not_zero(weights: Weights) -> None:
    assert torch.equal(masks(weights, 0.0)["fc"], weights["fc"] != 0)
    assert torch.equal(prune(weights, 0.0)["fc"], weights["fc"])


@given(WEIGHTS, THRESHOLDS)
@quick
def test_pruning_twice_is_pruning_once(weights: Weights, threshold: float) -> None:
    once = prune(weights, threshold)
    assert torch.equal(prune(once, threshold)["fc"], once["fc"])
    assert torch.equal(masks(once, threshold)["fc"], masks(weights, threshold)["fc"])


@given(WEIGHTS, THRESHOLDS, THRESHOLDS)
@quick
def test_a_higher_threshold_keeps_no_other_weights(weights: Weights, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert not (masks(weights, high)["fc"] & ~masks(weights, low)["fc"]).any()


@given(WEIGHTS, THRESHOLDS)
@quick
def test_masks_mark_exactly_the_weights_that_pruning_leaves(weights: Weights, threshold: float) -> None:
    assert torch.equal(prune(weights, threshold)["fc"] != 0, masks(weights, threshold)["fc"])


@given(WEIGHTS, THRESHOLDS)
@quick
def test_the_sign_of_weights_does_not_matter(weights: Weights, threshold: float) -> None:
    assert torch.equal(masks({"fc": -weights["fc"]}, threshold)["fc"], masks(weights, threshold)["fc"])


def test_the_input_is_not_modified() -> None:
    weights = {"fc": torch.tensor([0.1, 0.5])}
    prune(weights, 0.3)
    masks(weights, 0.3)
    assert torch.equal(weights["fc"], torch.tensor([0.1, 0.5]))


@pytest.mark.parametrize("threshold", [-0.1, float("nan")])
@pytest.mark.parametrize("function", [masks, prune])
def test_a_threshold_that_is_negative_or_no_number_is_refused(
    function: Callable[[dict[str, Tensor], float], object], threshold: float
) -> None:
    with pytest.raises(ValueError, match="threshold must be ≥ 0"):
        function({"fc": torch.ones(2)}, threshold)


def test_a_layer_may_have_a_threshold_of_its_own() -> None:
    weights = {"a": torch.tensor([[[0.1, -0.3, 0.0]]]), "b": torch.tensor([[[0.1, -0.3, 0.0]]])}
    left = masks(weights, Pruning(threshold=0.2, thresholds={"b": 0.05}))
    assert left["a"].tolist() == [[[False, True, False]]]
    assert left["b"].tolist() == [[[True, True, False]]]


@pytest.mark.parametrize(("density", "expected"), [(0.3, 3), (0.5, 5), (0.01, 0), (1.0, 9)])
def test_a_target_keeps_the_largest_of_each_replicate_over_all_layers(density: float, expected: int) -> None:
    draw = torch.Generator().manual_seed(3)
    weights = {"a": torch.randn(2, 2, 3, generator=draw), "b": torch.randn(2, 1, 4, generator=draw)}
    weights["b"][0, 0, 0] = 0
    weights["b"][1, 0, 1] = 0
    left = masks(weights, Pruning(target_density=density))
    for row in range(2):
        sizes = torch.cat([weights[name][row].abs().flatten() for name in weights])
        kept = torch.cat([left[name][row].flatten() for name in weights])
        assert int(kept.sum()) == expected
        assert not expected or sizes[kept].min() > sizes[~kept].max()
    alone = masks({name: weight[1:] for name, weight in weights.items()}, Pruning(target_density=density))
    assert all(torch.equal(alone[name], mask[1:]) for name, mask in left.items())


def test_a_target_stands_in_place_of_thresholds() -> None:
    for other in ({"threshold": 0.1}, {"thresholds": {"a": 0.1}}):
        with pytest.raises(ValueError, match="give one of them"):
            Pruning(target_density=0.1, **other)
    assert Pruning(threshold=0.1).model_dump() == {"threshold": 0.1, "curve": ()}
