from pathlib import Path

import torch

from dn_distributed.data import RawImages
from dn_distributed.data.digits import Digits
from dn_distributed.data.images import digest_images


def test_images_are_28_by_28_bytes(digits: RawImages) -> None:
    for images in (digits.train_images, digits.test_images):
        assert images.shape[1:] == (28, 28)
        assert images.dtype == torch.uint8


def test_images_use_the_whole_range_of_bytes(digits: RawImages) -> None:
    assert (digits.train_images.min().item(), digits.train_images.max().item()) == (0, 255)


def test_labels_are_the_ten_digits(digits: RawImages) -> None:
    for labels in (digits.train_labels, digits.test_labels):
        assert labels.dtype == torch.int64
        assert set(labels.tolist()) == set(range(10))


def test_the_last_360_of_1797_are_the_test_set(digits: RawImages) -> None:
    assert (len(digits.train_images), len(digits.train_labels)) == (1437, 1437)
    assert (len(digits.test_images), len(digits.test_labels)) == (360, 360)


def test_images_are_framed_by_four_blank_pixels(digits: RawImages) -> None:
    frame = torch.ones(28, 28, dtype=torch.bool)
    frame[4:-4, 4:-4] = False
    assert not digits.train_images[:, frame].any()


def test_labels_are_those_of_the_images(digits: RawImages) -> None:
    """Class means tell most test images apart: nothing was shuffled against its label."""
    train, test = digits.train_images.float().flatten(1), digits.test_images.float().flatten(1)
    means = torch.stack([train[digits.train_labels == label].mean(0) for label in range(10)])
    assert (torch.cdist(test, means).argmin(1) == digits.test_labels).float().mean() > 0.8


def test_digest_is_pinned(digits: RawImages) -> None:
    assert Digits().digest(digits) == "e5850911b997cd16e24247a73c2816c74a600c53739795072bc9c80a37aaaa85"


def test_digest_is_the_same_for_each_load(digits: RawImages) -> None:
    assert Digits().digest(Digits().load(Path("elsewhere"))) == Digits().digest(digits)


def test_digest_changes_with_a_pixel_and_with_a_label(digits: RawImages) -> None:
    again = Digits().load(Path("unused"))
    again.test_images[0, 0, 0] += 1
    with_other_pixel = digest_images(again)
    again.test_images[0, 0, 0] -= 1
    again.train_labels[0] += 1
    assert len({digest_images(digits), with_other_pixel, digest_images(again)}) == 3
