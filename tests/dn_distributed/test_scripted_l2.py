import pytest
import torch
from torch import Tensor

from dn_distributed.regularizers import build_penalties, resolve
from dn_distributed.replicas import Replicas
from tests.dn_distributed.support import gradients, make_task

LAST = "fc3"


def penalty_gradient(coefficients: dict[str, float]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the parameters of a LeNet-300-100 ``[1, ...]``, and what penalties alone add to their gradients."""
    replicas = Replicas(make_task("lenet300"), [0], 0.0, torch.device("cpu"))
    for penalty in build_penalties(resolve(coefficients)):
        for values, gradient in replicas.touched(penalty.name, penalty.touches):
            penalty.add_gradient_(values, gradient)
    return replicas.parameters, gradients(replicas)


def test_every_layer_but_the_last_has_an_l2() -> None:
    parameters, gradients = penalty_gradient({"l2_as_scripted": 0.1})
    for name, value in parameters.items():
        if not name.startswith(LAST):
            torch.testing.assert_close(gradients[name], 0.1 * value)


def test_the_last_layer_has_an_l1_instead() -> None:
    parameters, gradients = penalty_gradient({"l2_as_scripted": 0.1})
    for part in ("weight", "bias"):
        torch.testing.assert_close(gradients[f"{LAST}.{part}"], 0.1 * parameters[f"{LAST}.{part}"].sign())


def test_the_correct_l2_is_one_on_the_last_layer_too() -> None:
    parameters, gradients = penalty_gradient({"l2": 0.1})
    torch.testing.assert_close(gradients[f"{LAST}.weight"], 0.1 * parameters[f"{LAST}.weight"])


def test_a_part_set_twice_names_its_own_shorthand() -> None:
    with pytest.raises(ValueError, match="'l2_as_scripted' is short for l2_but_last and l1_of_last"):
        resolve({"l2_as_scripted": 1.0, "l1_of_last": 1.0})
