from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dn_distributed.data import DATASETS, Split, Splits
from dn_distributed.data.linear import Described, Scripted, SparseLinear

every_dataset = pytest.mark.parametrize(
    "dataset",
    [Scripted(), Described(), Described(noise=0.1), Described(distribution="sign", nonzeros=5)],
    ids=["scripted", "described", "noisy", "sign"],
)


def parts(splits: Splits) -> tuple[Split, Split, Split]:
    return splits.train, splits.validation, splits.test


def truth_of(splits: Splits) -> Tensor:
    """The true coefficients, ``[K, features]``."""
    assert splits.truth is not None
    return splits.truth


def residual(splits: Splits) -> Tensor:
    """``y − X c`` of all rows, ``[K, rows]``."""
    errors = [
        split.targets.squeeze(-1) - torch.einsum("kni,ki->kn", split.inputs, truth_of(splits))
        for split in parts(splits)
    ]
    return torch.cat(errors, dim=1)


def targets(splits: Splits) -> Tensor:
    return torch.cat([split.targets.squeeze(-1) for split in parts(splits)], dim=1)


def coefficients(dataset: SparseLinear, num_seeds: int = 400) -> Tensor:
    """The non-zero true coefficients of many small problems."""
    truth = truth_of(dataset.model_copy(update={"samples": 2}).generate(range(num_seeds)))
    return truth[truth != 0]


def test_names_are_registered() -> None:
    assert (DATASETS["linear_scripted"], DATASETS["linear_described"]) == (Scripted, Described)


@every_dataset
def test_each_split_has_500_samples_of_20_features(dataset: SparseLinear) -> None:
    splits = dataset.generate([1, 2, 3])
    assert splits.stacked
    assert splits.num_train == 500
    for split in parts(splits):
        assert (split.inputs.shape, split.targets.shape) == ((3, 500, 20), (3, 500, 1))


@every_dataset
def test_a_problem_does_not_depend_on_the_other_seeds(dataset: SparseLinear) -> None:
    alone, together = dataset.generate([7]), dataset.generate([3, 9, 7])
    for one, many in zip(parts(alone), parts(together), strict=True):
        assert torch.equal(one.inputs[0], many.inputs[2])
        assert torch.equal(one.targets[0], many.targets[2])
    assert torch.equal(truth_of(alone)[0], truth_of(together)[2])


@every_dataset
def test_seeds_have_problems_of_their_own(dataset: SparseLinear) -> None:
    splits = dataset.generate([1, 2])
    assert not torch.equal(splits.train.inputs[0], splits.train.inputs[1])
    assert not torch.equal(*truth_of(splits))


@every_dataset
def test_splits_have_rows_of_their_own(dataset: SparseLinear) -> None:
    train, validation, test = (split.inputs for split in parts(dataset.generate([1])))
    assert not torch.equal(train, validation)
    assert not torch.equal(train, test)
    assert not torch.equal(validation, test)


@pytest.mark.parametrize("make", [Scripted, Described])
@pytest.mark.parametrize("nonzeros", [1, 2, 7, 20])
def test_as_many_coefficients_are_non_zero_as_asked(make: Callable[..., SparseLinear], nonzeros: int) -> None:
    truth = truth_of(make(nonzeros=nonzeros).generate(range(10)))
    assert (truth != 0).sum(1).tolist() == [nonzeros] * 10


def test_non_zero_coefficients_may_stand_anywhere() -> None:
    truth = truth_of(Scripted(samples=2).generate(range(200)))
    assert (truth != 0).any(0).all()


@pytest.mark.parametrize("dataset", [Scripted(), Described()])
def test_without_noise_targets_are_exact(dataset: SparseLinear) -> None:
    splits = dataset.generate([1, 2])
    assert residual(splits).abs().max() < 1e-5 * targets(splits).abs().max()


def test_scripted_entries_and_coefficients_have_standard_deviation_ten() -> None:
    inputs = Scripted().generate([1, 2]).train.inputs
    assert inputs.std().item() == pytest.approx(10, rel=0.03)
    assert coefficients(Scripted()).std().item() == pytest.approx(10, rel=0.15)


def test_described_columns_lie_on_the_unit_sphere_in_every_split() -> None:
    for split in parts(Described().generate([1, 2])):
        torch.testing.assert_close(split.inputs.norm(dim=1), torch.ones(2, 20))


@pytest.mark.parametrize("level", [0.1, 0.5])
def test_noise_is_a_share_of_the_spread_of_the_targets(level: float) -> None:
    splits = Described(noise=level).generate([1])
    signal = targets(splits) - residual(splits)
    assert (residual(splits).std() / signal.std()).item() == pytest.approx(level, rel=0.1)


def test_noise_leaves_matrix_and_coefficients_as_they_are() -> None:
    clean, noisy = Described().generate([1]), Described(noise=0.5).generate([1])
    assert torch.equal(clean.train.inputs, noisy.train.inputs)
    assert torch.equal(truth_of(clean), truth_of(noisy))


def test_normal_coefficients_are_standard_normal() -> None:
    values = coefficients(Described())
    assert values.std().item() == pytest.approx(1, rel=0.15)
    assert values.abs().max() > 2


def test_uniform_coefficients_fill_minus_one_to_one() -> None:
    values = coefficients(Described(distribution="uniform"))
    assert values.abs().max() <= 1
    assert values.std().item() == pytest.approx(3**-0.5, rel=0.1)


def test_sign_coefficients_are_plus_or_minus_one() -> None:
    assert set(coefficients(Described(distribution="sign")).tolist()) == {-1.0, 1.0}


def test_sizes_may_be_set() -> None:
    splits = Scripted(samples=30, features=8, nonzeros=3).generate([1])
    assert splits.train.inputs.shape == (1, 30, 8)
    assert truth_of(splits).shape == (1, 8)


@pytest.mark.parametrize(
    "options", [{"samples": 0}, {"features": 0}, {"nonzeros": 0}, {"noise": -0.1}, {"distribution": "cauchy"}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Described(**options)


def test_digest_is_pinned() -> None:
    assert Scripted().digest(None) == "4d29440f40398216725c83c763cccd0b2542ead12363ffe3fce90fd907d601b2"


def test_digest_changes_with_each_option() -> None:
    variants = [
        Scripted(),
        Described(),
        Described(samples=10),
        Described(features=10),
        Described(nonzeros=3),
        Described(noise=0.1),
        Described(distribution="sign"),
    ]
    assert len({dataset.digest(None) for dataset in variants}) == len(variants)


def test_a_problem_is_pinned() -> None:
    """The digest is that of the recipe: if the recipe's code changes what it makes, this test says so."""
    splits = Scripted().generate([1])
    assert truth_of(splits).nonzero()[:, 1].tolist() == [1, 12]
    first_entries = [split.inputs[0, 0, 0].item() for split in parts(splits)]
    assert first_entries == pytest.approx([-18.22635, -1.31741, -3.41494], rel=1e-5)
