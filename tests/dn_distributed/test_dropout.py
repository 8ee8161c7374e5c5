from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dn_distributed.regularizers.dropout import MaskedDropout, MaskSource, swap_dropout_
from dn_distributed.tasks.lenet300 import LeNet300
from tests.dn_distributed.support import MakeTrainer

CPU = torch.device("cpu")


def source(seeds: Sequence[int] = (1, 2), rate: float = 0.5, purpose: str = "dropout") -> MaskSource:
    return MaskSource([(300,), (2, 50)], batch_size=64, rate=rate, seeds=seeds, purpose=purpose)


def masks_at(step: int, **options: Any) -> list[Tensor]:
    return source(**options).masks(step, CPU)


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_swap_replaces_every_dropout_and_names_it() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1), nn.Sequential(nn.ReLU(), nn.Dropout()))
    assert swap_dropout_(network, 0.5) == ["1", "2.1"]
    assert not any(isinstance(module, nn.Dropout) for module in network.modules())
    assert isinstance(network.get_submodule("2.1"), MaskedDropout)


def test_swap_at_rate_zero_gives_identities() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.9))
    assert swap_dropout_(network, 0.0) == []
    assert isinstance(network[1], nn.Identity)


def test_masked_dropout_multiplies_by_its_mask_while_training() -> None:
    module = MaskedDropout().train()
    module.mask = torch.tensor([0.0, 2.0])
    assert module(torch.tensor([3.0, 4.0])).tolist() == [0.0, 8.0]


def test_masked_dropout_is_the_identity_in_evaluation() -> None:
    module = MaskedDropout().eval()
    module.mask = torch.zeros(2)
    assert module(torch.tensor([3.0, 4.0])).tolist() == [3.0, 4.0]


def test_masks_have_a_value_per_replicate_sample_and_unit() -> None:
    assert [mask.shape for mask in masks_at(0)] == [(2, 64, 300), (2, 64, 2, 50)]


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_masks_are_zero_or_the_inverse_of_the_keep_probability(rate: float) -> None:
    for mask in masks_at(0, rate=rate):
        kept = mask[mask != 0]
        torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - rate)))
        assert 0 < len(kept) < mask.numel()


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_masks_keep_the_mean(rate: float) -> None:
    masks = masks_at(0, rate=rate, seeds=range(10))
    assert torch.cat([mask.flatten() for mask in masks]).mean().item() == pytest.approx(1, abs=0.03)


def test_masks_of_a_replicate_do_not_depend_on_the_others() -> None:
    alone, packed = masks_at(5, seeds=[7]), masks_at(5, seeds=[3, 9, 7])
    assert equal([mask[0] for mask in alone], [mask[2] for mask in packed])


def test_masks_of_a_step_do_not_depend_on_the_steps_asked_before() -> None:
    steps = [500, 0, 7, 8, 9, 499, 1, 500, 0]
    visited = source()
    assert all(equal(visited.masks(step, CPU), masks_at(step)) for step in steps)


def test_masks_of_all_steps_differ() -> None:
    drawn = source()
    patterns = {tuple(drawn.masks(step, CPU)[0][0, 0].tolist()) for step in range(50)}
    assert len(patterns) == 50


def test_masks_of_samples_replicates_and_purposes_differ() -> None:
    first = masks_at(0)[0]
    assert not torch.equal(first[0, 0], first[0, 1])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, masks_at(0, purpose="test dropout 0")[0])


def test_masks_of_two_modules_of_one_shape_differ() -> None:
    one, other = MaskSource([(300,), (300,)], 64, 0.5, [1], "dropout").masks(0, CPU)
    assert not torch.equal(one, other)


def test_without_dropout_modules_there_are_no_masks() -> None:
    assert MaskSource([], 64, 0.5, [1], "dropout").masks(0, CPU) == []


def test_a_training_step_with_dropout_differs_from_one_without(make_trainer: MakeTrainer) -> None:
    with_dropout = make_trainer(LeNet300(), [1], {"dropout": 0.5})
    without = make_trainer(LeNet300(), [1])
    with_dropout.advance(1)
    without.advance(1)
    assert not torch.equal(with_dropout.replicas.values, without.replicas.values)


def test_outputs_of_fully_dropped_layers_are_the_last_bias(make_trainer: MakeTrainer) -> None:
    replicas = make_trainer(LeNet300(), [1, 2], {"dropout": 0.5}).replicas
    nothing = [torch.zeros(2, 4, units) for units in (300, 100)]
    outputs = replicas.forward(torch.rand(2, 4, 784), nothing)
    expected = replicas.parameters["fc3.bias"].unsqueeze(1).expand(2, 4, 10)
    torch.testing.assert_close(outputs, expected)


def test_evaluation_ignores_dropout(make_trainer: MakeTrainer) -> None:
    inputs = torch.rand(1, 4, 784, generator=torch.Generator().manual_seed(0))
    with_dropout = make_trainer(LeNet300(), [1], {"dropout": 0.5}).replicas.forward(inputs)
    without = make_trainer(LeNet300(), [1]).replicas.forward(inputs)
    torch.testing.assert_close(with_dropout, without)
