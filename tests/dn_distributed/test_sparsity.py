import json
import math
from itertools import pairwise, product
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dn_distributed.sparsity import alive_units, count, layers_as_json, reads_unreached

quick = settings(deadline=None, max_examples=50)

Masks = dict[str, Tensor]


@st.composite
def convolutions(draw: st.DrawFn) -> Masks:
    """Masks of one to three convolutions, and of up to two layers that read the flattened channels of the last."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=2, max_size=4))
    features, kernel = draw(st.integers(1, 3)), draw(st.sampled_from([(1, 1), (1, 2), (2, 2)]))
    matrices = draw(st.lists(st.integers(1, 3), max_size=2))
    shapes: list[tuple[int, ...]] = [(after, before, *kernel) for before, after in pairwise(sizes)]
    widths = [sizes[-1] * features, *matrices]
    shapes += [(after, before) for before, after in pairwise(widths)]
    masks = {}
    for index, shape in enumerate(shapes):
        entries = draw(st.lists(st.booleans(), min_size=math.prod(shape), max_size=math.prod(shape)))
        masks[f"layer{index}"] = torch.tensor(entries).view(*shape)
    return masks


def unfolded(masks: Masks) -> tuple[Masks, int | None]:
    """The chain of matrices that has the same paths, and the place of the layer of features, which it alone has."""
    matrices: Masks = {}
    place = None
    before = None
    for name, mask in masks.items():
        if mask.ndim == 2 and before is not None and before.ndim == 4 and mask.shape[1] != len(before):
            repeated = torch.eye(len(before), dtype=torch.bool).repeat_interleave(mask.shape[1] // len(before), 0)
            place = len(matrices)
            matrices["flatten"] = repeated
        matrices[name] = mask.flatten(2).any(2) if mask.ndim == 4 else mask
        before = mask
    return matrices, place


@st.composite
def chains(draw: st.DrawFn) -> Masks:
    """Masks of one to four layers between layers of one to five units."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=5))
    masks = {}
    for index, (n_in, n_out) in enumerate(pairwise(sizes)):
        size = n_in * n_out
        entries = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        masks[f"fc{index + 1}"] = torch.tensor(entries).view(n_out, n_in)
    return masks


def mask(*rows: str) -> Tensor:
    """A mask from one word per output neuron: 1 for a weight that is left."""
    return torch.tensor([[entry == "1" for entry in row] for row in rows])


def alive_by_paths(masks: Masks) -> list[set[int]]:
    """Units on a path, found by trying every path."""
    matrices = list(masks.values())
    sizes = [matrices[0].shape[1], *(matrix.shape[0] for matrix in matrices)]
    alive: list[set[int]] = [set() for _ in sizes]
    for path in product(*(range(size) for size in sizes)):
        if all(matrix[end, start] for matrix, (start, end) in zip(matrices, pairwise(path), strict=True)):
            for units, unit in zip(alive, path, strict=True):
                units.add(unit)
    return alive


HALF_DEAD: Masks = {"fc1": mask("11", "00"), "fc2": mask("01")}
"""Two hidden units: the first only receives, the second only sends."""


@given(chains())
@quick
def test_arrays_are_counted_as_tensors_are(masks: Masks) -> None:
    arrays = {name: matrix.numpy() for name, matrix in masks.items()}
    assert count(arrays) == count(masks)
    for array, tensor in zip(alive_units(arrays), alive_units(masks), strict=True):
        assert array.tolist() == tensor.tolist()


def test_a_dense_network_is_counted_whole() -> None:
    counts = count({"fc1": torch.ones(5, 20, dtype=torch.bool), "fc2": torch.ones(1, 5, dtype=torch.bool)})
    assert (counts.num_weights, counts.num_nonzero) == (105, 105)
    assert counts.neurons_total == counts.neurons_published == counts.neurons_alive == 26


def test_the_published_regression_row_is_reproduced() -> None:
    first = torch.zeros(5, 20, dtype=torch.bool)
    first[3, [4, 11]] = True
    second = torch.zeros(1, 5, dtype=torch.bool)
    second[0, 3] = True
    counts = count({"fc1": first, "fc2": second})
    assert [layer.density for layer in counts.layers] == [0.02, 0.2]
    assert (counts.num_nonzero, counts.compression_rate) == (3, 35.0)
    assert [unit.published for unit in counts.units] == [2, 1, 1]


def test_units_are_named_input_and_then_as_the_layers() -> None:
    assert [unit.name for unit in count(HALF_DEAD).units] == ["input", "fc1", "fc2"]


def test_units_without_a_path_are_published_but_not_alive() -> None:
    counts = count(HALF_DEAD)
    assert [unit.published for unit in counts.units] == [2, 1, 1]
    assert [unit.alive for unit in counts.units] == [0, 0, 0]


def test_published_hidden_units_follow_the_rule() -> None:
    masks = {"fc1": mask("11", "10", "00"), "fc2": mask("100")}
    assert count(masks, "min").units[1].published == 1
    assert count(masks, "max").units[1].published == 2


def test_published_inputs_need_an_outgoing_and_outputs_an_incoming_weight() -> None:
    units = count({"fc1": mask("1100", "0000", "0100")}).units
    assert [(unit.total, unit.published) for unit in units] == [(4, 2), (3, 2)]


def test_layers_are_counted_apart() -> None:
    first, second = count({"fc1": mask("110", "001"), "fc2": mask("10")}).layers
    assert (first.shape, first.num_weights, first.num_nonzero, first.density) == ((2, 3), 6, 3, 0.5)
    assert (second.shape, second.num_weights, second.num_nonzero, second.density) == ((1, 2), 2, 1, 0.5)


def test_where_nothing_is_left_there_is_no_compression_rate() -> None:
    counts = count({"fc1": mask("00", "00")})
    assert (counts.compression_rate, counts.dense_compression, counts.dense_size) == (None, None, 0)
    assert (counts.density, counts.neurons_published, counts.neurons_alive) == (0.0, 0, 0)


def test_the_dense_size_is_what_is_left_when_dead_units_are_cut_out() -> None:
    """Two inputs, one hidden unit and one output are alive: 2 × 1 and 1 × 1 weights."""
    counts = count({"fc1": mask("1100", "0000", "0010"), "fc2": mask("110")})
    assert [unit.alive for unit in counts.units] == [2, 1, 1]
    assert (counts.dense_size, counts.dense_compression) == (3, 5.0)
    assert (count(HALF_DEAD).dense_size, count(HALF_DEAD).dense_compression) == (0, None)


def test_with_all_outputs_the_dense_size_has_those_that_are_constant_too() -> None:
    """Of three outputs one has a weight: 2 × 1 and 1 × 3 weights."""
    counts = count({"fc1": mask("1100", "0000", "0010"), "fc2": mask("110", "000", "000")})
    assert (counts.dense_size, counts.dense_size_with_outputs) == (3, 5)


@given(chains())
@quick
def test_a_network_cut_to_its_alive_units_has_its_dense_size(masks: Masks) -> None:
    alive = alive_units(masks)
    cut = [matrix[after][:, before] for matrix, (before, after) in zip(masks.values(), pairwise(alive), strict=True)]
    assert count(masks).dense_size == sum(matrix.numel() for matrix in cut)
    for matrix in cut:
        assert matrix.any(0).all()
        assert matrix.any(1).all()


def test_layers_as_json_hold_names_and_shapes() -> None:
    assert json.loads(layers_as_json(count(HALF_DEAD))) == [["fc1", 2, 2], ["fc2", 1, 2]]


@given(chains())
@quick
def test_alive_units_are_at_most_the_published_and_those_at_most_all(masks: Masks) -> None:
    for unit in count(masks).units:
        assert 0 <= unit.alive <= unit.published <= unit.total


@given(chains())
@quick
def test_alive_units_are_those_on_a_path(masks: Masks) -> None:
    found = [set(units.nonzero().flatten().tolist()) for units in alive_units(masks)]
    assert found == alive_by_paths(masks)


@given(chains())
@quick
def test_the_max_rule_counts_at_least_as_many_as_the_min_rule(masks: Masks) -> None:
    pairs = zip(count(masks, "min").units, count(masks, "max").units, strict=True)
    assert all(low.published <= high.published for low, high in pairs)


@given(chains())
@quick
def test_the_rule_changes_hidden_units_only(masks: Masks) -> None:
    low, high = count(masks, "min"), count(masks, "max")
    assert low.layers == high.layers
    assert (low.units[0], low.units[-1]) == (high.units[0], high.units[-1])


@given(chains())
@quick
def test_counts_of_layers_add_up_to_the_total(masks: Masks) -> None:
    counts = count(masks)
    assert counts.num_weights == sum(matrix.numel() for matrix in masks.values())
    assert counts.num_nonzero == sum(int(matrix.sum()) for matrix in masks.values())
    assert counts.density * counts.num_weights == pytest.approx(counts.num_nonzero)
    assert counts.compression_rate is None or counts.compression_rate * counts.density == pytest.approx(1)


@given(chains())
@quick
def test_counts_of_units_add_up_to_the_total(masks: Masks) -> None:
    counts = count(masks)
    assert counts.neurons_total == sum(unit.total for unit in counts.units)
    assert counts.neurons_published == sum(unit.published for unit in counts.units)
    assert counts.neurons_alive == sum(unit.alive for unit in counts.units)


@given(chains(), st.randoms(use_true_random=False))
@quick
def test_the_order_of_units_does_not_matter(masks: Masks, random: Random) -> None:
    matrices = list(masks.values())
    sizes = [matrices[0].shape[1], *(matrix.shape[0] for matrix in matrices)]
    orders = [random.sample(range(size), size) for size in sizes]
    shuffled = {
        name: matrix[after][:, before]
        for (name, matrix), (before, after) in zip(masks.items(), pairwise(orders), strict=True)
    }
    assert count(shuffled) == count(masks)


@given(chains())
@quick
def test_the_masks_are_not_modified(masks: Masks) -> None:
    before = {name: matrix.clone() for name, matrix in masks.items()}
    count(masks)
    assert all(torch.equal(before[name], matrix) for name, matrix in masks.items())


def test_layers_that_do_not_chain_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'fc2' takes 3 inputs but 'fc1' before it has 2 outputs"):
        count({"fc1": mask("11", "11"), "fc2": mask("111")})


@given(convolutions())
@quick
def test_a_filter_is_alive_where_it_lies_on_a_path_of_kernels_and_of_its_features(masks: Masks) -> None:
    matrices, place = unfolded(masks)
    alive, expected = alive_units(masks), alive_units(matrices)
    counts = count(masks)
    if place is not None:
        features = expected.pop(place + 1)
        (said,) = [layer.inputs_alive for layer in counts.layers if layer.inputs_alive is not None]
        assert said == int(features.sum())
    assert [units.tolist() for units in alive] == [units.tolist() for units in expected]
    assert [unit.alive for unit in counts.units] == [int(units.sum()) for units in expected]
    assert count({name: mask.numpy() for name, mask in masks.items()}) == counts


@given(convolutions())
@quick
def test_a_convolutional_network_cut_to_what_is_alive_has_its_dense_size(masks: Masks) -> None:
    alive, size = alive_units(masks), 0
    for mask, (before, after) in zip(masks.values(), pairwise(alive), strict=True):
        cut = mask.reshape(len(mask), len(before), -1)[after][:, before]
        size += cut.numel() if mask.ndim == 4 else len(cut) * int(cut.any(0).sum())
    assert count(masks).dense_size == size


def test_the_counts_of_a_small_convolutional_network() -> None:
    """One of three filters has no weight, one is read by no unit; of the third's two features one is read."""
    conv = torch.zeros(3, 1, 2, 2, dtype=torch.bool)
    conv[0, 0, 0, 1] = conv[1] = True
    counts = count({"conv": conv, "fc": mask("100000", "000011")})
    assert [(unit.name, unit.total, unit.published, unit.alive) for unit in counts.units] == [
        ("input", 1, 1, 1),
        ("conv", 3, 2, 1),
        ("fc", 2, 2, 1),
    ]
    assert [(layer.shape, layer.num_weights, layer.num_nonzero, layer.inputs_alive) for layer in counts.layers] == [
        ((3, 1, 2, 2), 12, 5, None),
        ((2, 6), 12, 3, 1),
    ]
    assert counts.dense_size == 1 * 1 * 4 + 1 * 1
    assert (counts.hidden_total, counts.hidden_alive) == (3, 1)
    assert "conv (3×1×2×2): 5 of 12 weights left" in str(counts)
    assert "inputs of fc: 1 alive, of 6" in str(counts)
    assert json.loads(layers_as_json(counts)) == [["conv", 3, 1, 2, 2], ["fc", 2, 6]]


def test_layers_that_are_no_chain_are_counted_each_for_itself() -> None:
    conv = torch.zeros(2, 3, 2, 1, dtype=torch.bool)
    conv[1, :2, 0] = True
    counts = count({"conv": conv, "fc": mask("100", "001")}, chain=False)
    assert [(unit.name, unit.total, unit.published, unit.alive) for unit in counts.units] == [
        ("conv", 2, 1, 1),
        ("fc", 2, 2, 2),
    ]
    assert [layer.inputs_alive for layer in counts.layers] == [2, 2]
    assert counts.dense_size == 2 * 1 * 2 + 2 * 2
    assert (counts.hidden_total, counts.hidden_alive, counts.is_chain) == (2, 1, False)


@pytest.mark.parametrize(("first", "second"), [((4, 1, 3, 3), (2, 3, 3, 3)), ((4, 1, 3, 3), (2, 6)), ((4, 4), (2, 8))])
def test_layers_of_sizes_that_do_not_follow_each_other_are_refused(
    first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=f"layer 'b' takes {second[1]} inputs but 'a' before it has 4 outputs"):
        count({"a": torch.ones(first, dtype=torch.bool), "b": torch.ones(second, dtype=torch.bool)})


def test_a_convolution_does_not_follow_a_matrix() -> None:
    with pytest.raises(ValueError, match="layer 'b' is a convolution and 'a' before it is none"):
        count({"a": torch.ones(4, 4, dtype=torch.bool), "b": torch.ones(2, 4, 3, 3, dtype=torch.bool)})


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2), (0, 3), ()])
def test_what_is_no_matrix_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"'conv' has shape .* expected a matrix"):
        count({"conv": torch.ones(shape, dtype=torch.bool)})


def test_no_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="no layers"):
        count({})


def test_layers_that_read_units_no_path_leads_to_are_named() -> None:
    masks = {"one": mask("10", "00", "11"), "two": mask("100", "010", "001"), "three": mask("101")}
    assert reads_unreached(masks) == ("two",)
    masks["three"] = mask("011")
    assert reads_unreached(masks) == ("two", "three")


def test_what_a_chain_needs_besides_what_lies_on_paths_is_alive() -> None:
    masks = {"one": mask("10", "00", "11"), "two": mask("100", "010", "001"), "three": mask("111")}
    assert [unit.alive for unit in count(masks).units] == [2, 2, 2, 1]
    found = count(masks, needed={"one": (3, 2), "two": (1, 3), "three": (5, 2)})
    assert [unit.alive for unit in found.units] == [2, 3, 2, 1], "never fewer, and no output without weights"
