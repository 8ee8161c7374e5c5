"""A recorded function computes what it computed, and recording it needs nothing of torch's compiler."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn import functional

from dn_distributed.errors import ArgumentError
from dn_distributed.replicas.recording import record

TRAINING = """
import sys
from dn_distributed.config import Pruning, Training
from dn_distributed.data import DATASETS
from dn_distributed.tasks import TASKS
from dn_distributed.training import Trainer

task, dataset = TASKS["regression"](name="regression"), DATASETS["linear_scripted"](name="linear_scripted")
data = task.data(dataset, dataset.load(None)).for_seeds([0, 1])
penalties = {"l1": 1e-3, "l2": 1e-3, "dn_incoming": 1e-3, "dn_outgoing": 1e-3}
trainer = Trainer(task, penalties, (Training(steps=3, batch_size=20, learning_rate=0.01),), Pruning(), data, [0, 1])
for _ in trainer.run():
    pass
trainer.outcomes()
print([name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules])
"""


def of_each(weights: Tensor, inputs: Tensor) -> Tensor:
    return functional.relu(inputs @ weights.mT).square().mean()


def test_a_vectorised_gradient_is_recorded_as_it_is_computed() -> None:
    weights, inputs = torch.randn(3, 2, 4), torch.randn(3, 5, 4)
    gradient = vmap(grad(of_each))
    graph = record(gradient, weights, inputs)
    other = torch.randn(3, 2, 4), torch.randn(3, 5, 4)
    assert torch.equal(graph(*other), gradient(*other))


def test_several_results_and_constants_are_told_apart() -> None:
    scale = torch.tensor([1.0, 2.0])

    def work(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        values, places = x.max(dim=0)
        return values * scale, [places, values * scale + torch.tensor(1.0)]

    graph = record(work, torch.randn(4, 2))
    x = torch.randn(4, 2)
    (values, (places, more)), (expected, (other_places, other_more)) = graph(x), work(x)
    assert all(map(torch.equal, (values, places, more), (expected, other_places, other_more)))
    assert [name for name, _ in graph.named_buffers()] == sorted(
        node.target for node in graph.graph.nodes if node.op == "get_attr"
    )


def test_a_constant_that_is_written_to_is_a_new_one_at_each_call() -> None:
    graph = record(lambda x: torch.tensor(1.0).add_(x), torch.tensor(0.0))
    assert [graph(torch.tensor(2.0)).item() for _ in range(2)] == [3, 3]


def test_a_number_of_a_constant_may_be_read() -> None:
    graph = record(lambda x: x * torch.tensor(2.0).sqrt().item(), torch.ones(2))
    assert torch.equal(graph(torch.ones(2)), torch.ones(2) * torch.tensor(2.0).sqrt())


@pytest.mark.parametrize("work", [lambda x: x * x.sum().item(), lambda x: x * torch.rand(1).item()])
def test_a_number_that_varies_may_not(work: object) -> None:
    with pytest.raises(ArgumentError, match="reads a number out of a tensor"):
        record(work, torch.ones(2))  # type: ignore[arg-type]


def test_what_autocast_has_cast_before_is_cast_in_the_graph() -> None:
    layer, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        layer(x)
        graph = record(lambda x, weight: functional.linear(x, weight), x, layer.weight)
    assert any("_to_copy" in str(node.target) for node in graph.graph.nodes)


def test_a_training_does_without_torchs_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", TRAINING], text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "[]"
