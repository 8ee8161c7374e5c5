"""When the operations of a step are recorded, and when not; tests on a GPU are in ``test_gpu.py``."""

from collections.abc import Sequence
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from dn_distributed.replicas import one_launch
from dn_distributed.replicas.one_launch import InOneLaunch, OneLaunch


class Recorded:
    """In place of a launch: says how often one was made."""

    made = 0

    def __init__(self, function: Any, tensors: Sequence[Tensor], num_kept: int) -> None:
        type(self).made += 1
        self._function, self._kept = function, tuple(tensors[:num_kept])

    fits = OneLaunch.fits

    def __call__(self, *tensors: Tensor) -> Any:
        return self._function(*tensors)


def product(one: Tensor, other: Tensor) -> tuple[Tensor, ...]:
    return (one * other,)


def test_it_is_recorded_once_and_again_where_a_kept_tensor_lies_elsewhere() -> None:
    kept, moved = torch.ones(3), torch.full((3,), 2.0)
    with mock.patch.object(one_launch, "OneLaunch", Recorded):
        launch = InOneLaunch(product, num_kept=1)
        for value in range(3):
            (found,) = launch(kept, torch.full((3,), float(value)))
            assert found.tolist() == [value] * 3
        assert Recorded.made == 1
        (found,) = launch(moved, kept)
    assert found.tolist() == [2.0] * 3
    assert Recorded.made == 2


def test_what_cannot_be_recorded_is_not_tried_again() -> None:
    with mock.patch.object(one_launch, "OneLaunch", side_effect=RuntimeError) as make:
        launch = InOneLaunch(product, num_kept=1)
        for _ in range(3):
            assert launch(torch.ones(3), torch.ones(3))[0].tolist() == [1.0] * 3
    assert make.call_count == 1


def test_memory_that_runs_out_is_said() -> None:
    with (
        mock.patch.object(one_launch, "OneLaunch", side_effect=torch.OutOfMemoryError),
        pytest.raises(torch.OutOfMemoryError),
    ):
        InOneLaunch(product, num_kept=1)(torch.ones(3), torch.ones(3))
