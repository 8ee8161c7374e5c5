"""What the science knows of torch that torch does not promise: a version that has changed it fails here, in words."""

import copy
import inspect
from typing import Any

import pytest
import torch

from dn_distributed import torch_internals
from tests.internals import find

_REMEDY = "change dn_distributed/torch_internals.py, or bound torch in pyproject.toml"
NAMES = {
    "torch.utils._python_dispatch:TorchDispatchMode.__torch_dispatch__": "self func types args kwargs",
    "torch.utils.weak:WeakTensorKeyDictionary.__setitem__": "self key value",
    "torch.utils._pytree:tree_map": "func tree",
    "torch.optim.adam:adam": "params grads exp_avgs exp_avg_sqs max_exp_avg_sqs state_steps",
    "torch.fx.graph_module:_USER_PRESERVED_ATTRIBUTES_KEY": None,
    "torch:_foreach_copy_": None,
}
"""Per function, the parameters that it takes first; None where torch does not say them."""
ADAM = {"fused", "amsgrad", "beta1", "beta2", "eps", "weight_decay", "maximize", "lr"}
OPERATIONS = (
    *("lift_fresh.default", "lift_fresh_copy.default"),
    *("expand.default", "view.default", "_unsafe_view.default", "mul.Scalar", "mul.Tensor"),
    *("ones_like.default", "zeros_like.default"),
)


def found(place: str) -> Any:
    return find(place, f"torch {torch.__version__}", _REMEDY)


@pytest.mark.parametrize("place", NAMES)
def test_a_name_is_there_and_takes_what_it_took(place: str) -> None:
    function, expected = found(place), (NAMES[place] or "").split()
    if expected:
        parameters = list(inspect.signature(function).parameters)
        changed = f"torch {torch.__version__}: {place} takes {parameters}, not {expected} first: {_REMEDY}"
        assert parameters[: len(expected)] == expected, changed


def test_adam_takes_its_numbers_by_name() -> None:
    lacking = ADAM - set(inspect.signature(torch_internals.adam).parameters)
    assert not lacking, f"torch {torch.__version__}: adam takes no {sorted(lacking)} any more: {_REMEDY}"


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_that_graphs_are_cleaned_of_is_there(name: str) -> None:
    operation: Any = torch_internals.aten
    for part in name.split("."):
        assert hasattr(operation, part), f"torch {torch.__version__} has no operation {name} any more: {_REMEDY}"
        operation = getattr(operation, part)


def test_what_writes_is_known() -> None:
    aten, changed = torch_internals.aten, f"torch {torch.__version__}: operations say otherwise what they do: {_REMEDY}"
    assert torch_internals.writes(aten.add_.Tensor), changed
    assert not torch_internals.writes(aten.add.Tensor), changed
    assert not torch_internals.writes("placeholder"), changed


def test_a_copy_of_a_graph_has_an_attribute_that_was_set_for_it() -> None:
    graph = torch.fx.symbolic_trace(torch.nn.Linear(1, 1))
    torch_internals.set_for_copies_too(graph, "kept", "value")
    again = copy.deepcopy(copy.deepcopy(graph))
    assert getattr(again, "kept", None) == "value" == getattr(graph, "kept", None), (
        f"torch {torch.__version__}: {_REMEDY}"
    )


def test_each_tensor_of_a_list_gets_its_own() -> None:
    into = [torch.zeros(2), torch.ones(1)]
    torch_internals.foreach_copy_(into, [torch.full((2,), 3.0), torch.full((1,), 4.0, dtype=torch.bfloat16)])
    assert [tensor.tolist() for tensor in into] == [[3, 3], [4]], f"torch {torch.__version__}: {_REMEDY}"
