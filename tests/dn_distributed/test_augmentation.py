"""Images moved and mirrored at random while a network trains."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from dn_distributed.config import Augment, Drop, Training
from dn_distributed.data import Split, Splits
from dn_distributed.errors import ArgumentError
from dn_distributed.tasks import Task
from dn_distributed.tasks.network import Network
from dn_distributed.training.augmentation import Augmentation, check_phases, moved
from dn_distributed.training.batches import Batches
from dn_distributed.training.phases import phases_of
from tests.dn_distributed.own_models import GroupNormResNet
from tests.dn_distributed.support import EPOCH, MakeTrainer, assert_resumes_at_every_step, make_task

BOTH = Augment(shift=2, flip=True)
SHAPE = (3, 6, 5)


def images(count: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


def test_each_image_is_moved_by_its_own_amount_and_its_edge_is_repeated() -> None:
    given, down, right = images(25), *torch.cartesian_prod(torch.arange(-2, 3), torch.arange(-2, 3)).T
    found = moved(given, down, right, 2).numpy()
    for image, result, rows, columns in zip(given.numpy(), found, down.tolist(), right.tolist(), strict=True):
        padded = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode="edge")
        assert np.array_equal(result, padded[:, 2 - rows : 8 - rows, 2 - columns : 7 - columns])


def test_amounts_are_equally_likely_and_half_are_mirrored() -> None:
    given = torch.zeros(1, 20_000, *SHAPE)
    given[..., 2, 2] = 1  # one point in the middle, whose way is seen
    found = Augmentation(Augment(shift=1), SHAPE, [0], 0)(given, 0)
    shares = found.mean((0, 1, 2))
    assert shares[1:4, 1:4].numpy() == pytest.approx(1 / 9, abs=0.01)
    assert float(shares.sum()) == pytest.approx(1)
    given[..., 2, 2], given[..., 2, 0] = 0, 1
    found = Augmentation(Augment(flip=True), SHAPE, [0], 0)(given, 0)
    assert float(found[..., 0].sum() / found.sum()) == pytest.approx(0.5, abs=0.02)
    assert float(found[..., 0].sum() + found[..., -1].sum()) == float(found.sum())


def test_a_replicates_images_depend_on_its_seed_the_phase_and_the_step_alone() -> None:
    given = images(40).expand(3, 40, *SHAPE)
    together = Augmentation(BOTH, SHAPE, [4, 5, 6], 1)(given, 7)
    alone = Augmentation(BOTH, SHAPE, [5], 1)(given[:1], 7)
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(together[0], together[1])
    for other in (Augmentation(BOTH, SHAPE, [5], 0)(given[:1], 7), Augmentation(BOTH, SHAPE, [5], 1)(given[:1], 8)):
        assert not torch.equal(other, alone)


def test_flat_inputs_are_moved_as_the_images_they_are() -> None:
    given = images(10, (28, 28))[None]
    augmentation = Augmentation(BOTH, (1, 28, 28), [0], 0)
    flat = augmentation(given.flatten(2), 3)
    assert flat.shape == (1, 10, 784)
    assert torch.equal(flat.view(given.shape), augmentation(given.unsqueeze(2), 3).squeeze(2))


@pytest.mark.parametrize("is_target", [True, False], ids=["autoencoder", "labels"])
def test_only_what_is_trained_on_is_changed_and_a_target_that_is_the_input_with_it(is_target: bool) -> None:
    inputs = images(80, (784,))
    split = Split(inputs, inputs if is_target else torch.arange(80))
    (phase,) = phases_of(Training(epochs=1, batch_size=40, augment=BOTH), 80)
    batches = Batches(Splits(split, split, split), phase, [0, 1], torch.device("cpu"), (1, 28, 28))
    given, targets = batches.at(1)
    rows = batches._indices(1).view(2, 40)
    assert not torch.equal(given, inputs[rows])
    assert torch.equal(targets, given if is_target else rows)
    drawn, _ = batches.draw(0, 80, "samples of a score", 1)
    assert torch.equal(drawn.sort(0).values, inputs.sort(0).values), "scores and means are of images as they are"


@pytest.mark.parametrize(
    ("target", "moves"),
    [
        (lambda images: images.clone(), True),  # an autoencoder's, though it is another tensor
        (lambda images: images.flatten(1), True),
        (lambda images: images[:, :2] > 0.5, True),  # masks of another number of channels
        (lambda images: (9 * images[:, 0]).long(), True),  # a class for each pixel
        (lambda images: images.mean((2, 3)), False),
        (lambda images: images[:, 0, 0, 0], False),
    ],
    ids=["images", "flat", "masks", "classes", "means", "numbers"],
)
def test_targets_that_are_images_are_moved_with_their_inputs(target: Callable[[Tensor], Tensor], moves: bool) -> None:
    """What is to be put out for an image that was moved is what was to be put out for it, moved as far."""
    given = images(40)
    split = Split(given, target(given))
    (phase,) = phases_of(Training(epochs=1, batch_size=20, augment=BOTH), 40)
    batches = Batches(Splits(split, split, split), phase, [0, 1], torch.device("cpu"), SHAPE)
    inputs, targets = batches.at(1)
    assert targets.dtype == split.targets.dtype
    rows = batches._indices(1).view(2, 20)
    expected = torch.stack([target(each) for each in inputs]) if moves else split.targets[rows]
    assert torch.equal(targets, expected)


@pytest.mark.parametrize("name", ["autoencoder", "lenet300", "lenet5_caffe", "own"])
def test_a_replicate_is_the_same_in_any_pack_and_taken_up_at_any_step(make_phased: MakeTrainer, name: str) -> None:
    task: Task = GroupNormResNet() if name == "own" else make_task(name)
    phases = [{"augment": BOTH}, {"augment": Augment(shift=1)}]
    together, alone, plain = (
        make_phased(task, [1, 2], *phases, l1=1e-5),
        make_phased(task, [2], *phases, l1=1e-5),
        make_phased(task, [2], {}),
    )
    for trainer in (together, alone, plain):
        trainer.advance(trainer.num_steps)
    assert torch.equal(together.replicas.values[1], alone.replicas.values[0])
    assert not torch.equal(alone.replicas.values, plain.replicas.values)
    assert_resumes_at_every_step(
        make_phased(task, [1, 2], *phases, l1=1e-5), make_phased(task, [1, 2], *phases, l1=1e-5), together
    )


def test_small_tensors_get_images_that_were_changed_whole(make_phased: MakeTrainer) -> None:
    """Units of the first layer and inputs have left them: an image is moved before what is dead is left out."""
    drop = {"augment": BOTH, "drop": Drop(to=0.2, every=2)}
    runs = [
        make_phased(make_task("lenet300", initial="he"), [1], {**drop, "shrink": shrink}, {})
        for shrink in (True, False)
    ]
    for trainer in runs:
        trainer.advance(trainer.num_steps)
    assert runs[0].replicas.values.count_nonzero() < 0.3 * runs[0].replicas.values.numel()
    assert torch.allclose(runs[0].replicas.values, runs[1].replicas.values, rtol=1e-4, atol=1e-6)


def test_no_change_has_one_identity() -> None:
    plain = Training(**EPOCH)
    for nothing in (None, {"shift": 0}, Augment(flip=False), {"shift": 0, "flip": False}):
        assert Training.model_validate({**EPOCH, "augment": nothing}) == plain
    assert "augment" not in plain.model_dump()
    assert Training(**EPOCH, augment=Augment(shift=1)).model_dump()["augment"] == {"shift": 1, "flip": False}


def test_what_cannot_be_changed_is_refused(make_phased: MakeTrainer) -> None:
    with pytest.raises(ArgumentError, match="phase 2 has 'augment', and the inputs of 'regression' are no images here"):
        make_phased(make_task("regression"), [1], {}, {"augment": BOTH})
    with pytest.raises(ArgumentError, match="phase 1 moves images by up to 28 pixels: they have 28 × 28"):
        make_phased(make_task("lenet300"), [1], {"augment": Augment(shift=28)})
    for wrong in ({}, {"shift": -1}, {"shift": 1.0}, {"flip": 1}, {"rotate": 3}):
        with pytest.raises(ValidationError):
            Augment.model_validate(wrong)


def test_images_with_their_channels_last_are_refused() -> None:
    """A mirror would swap red and blue, and a move mix them."""
    phases = phases_of(Training(steps=1, batch_size=2, augment=Augment(flip=True)), 10)
    for shape in ((3, 6, 5), (3, 32, 3), (12, 32, 5), (1, 8, 1)):
        check_phases(Network(input_shape=shape, num_outputs=2), phases)
    for shape in ((32, 32, 3), (28, 28, 1), (6, 5, 4)):
        said = " × ".join(map(str, shape))
        with pytest.raises(ArgumentError, match=f"those of 'network' are {said}, and seem to have their channels last"):
            check_phases(Network(input_shape=shape, num_outputs=2), phases)
