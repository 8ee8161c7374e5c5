"""A cleaned graph computes what the function computes, with fewer operations."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dn_distributed.replicas.loss_gradient import captures, trace


def operations(function: torch.fx.GraphModule) -> list[str]:
    return [str(node.target) for node in function.graph.nodes if node.op == "call_function"]


def test_constants_are_computed_once_and_idle_operations_left_out() -> None:
    def work(x: Tensor) -> Tensor:
        scale = torch.ones_like(x).expand(4, 3) / 3
        return x.view(4, 3).mul(1) * scale

    x = torch.randn(4, 3)
    graph = trace(work, x)
    assert operations(graph) == ["aten.mul.Tensor"]
    other = torch.randn(4, 3)
    assert torch.equal(graph(other), work(other))


def test_a_chain_of_idle_operations_gives_back_the_input() -> None:
    graph = trace(lambda x: x.view(4, 3).expand(4, 3).view(4, 3) + 1, torch.zeros(4, 3))
    assert operations(graph) == ["aten.add.Tensor"]


def test_reshapes_that_change_the_shape_stay() -> None:
    graph = trace(lambda x: x.view(12).view(4, 3).sum(0), torch.randn(4, 3))
    x = torch.randn(4, 3)
    assert torch.equal(graph(x), x.sum(0))


def test_random_numbers_are_drawn_at_each_call() -> None:
    graph = trace(lambda x: x + torch.rand(3), torch.zeros(3))
    assert not torch.equal(graph(torch.zeros(3)), graph(torch.zeros(3)))


def test_a_gradient_has_the_bits_of_the_function() -> None:
    def gradient(weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
        found: Tensor = torch.func.grad(lambda w: functional.mse_loss(torch.sigmoid(x @ w.T), y))(weight)
        return found

    weight, x, y = torch.randn(3, 5), torch.randn(7, 5), torch.rand(7, 3)
    assert torch.equal(trace(gradient, weight, x, y)(weight, x, y), gradient(weight, x, y))


def test_what_is_written_to_is_no_constant() -> None:
    def one_hot(labels: Tensor) -> Tensor:
        return torch.zeros(3, 4).scatter_(1, labels[:, None], 1.0) * 2

    graph = trace(one_hot, torch.tensor([0, 1, 2]))
    for labels in (torch.tensor([3, 3, 3]), torch.tensor([0, 0, 1])):
        assert torch.equal(graph(labels), one_hot(labels))


def test_a_graph_knows_whether_it_holds_tensors_of_the_moment() -> None:
    x, outside = torch.randn(3), torch.randn(3)
    assert captures(trace(lambda x: x * outside, x))
    assert captures(trace(lambda x: x * (outside + 1), x))
    assert not captures(trace(lambda x: x * torch.ones_like(x) + 2, x))


def test_a_transposed_product_in_bfloat16_is_computed_as_it_lies_in_memory() -> None:
    def gradient(x: Tensor, out: Tensor) -> Tensor:
        return torch.bmm(x.transpose(1, 2), out).transpose(1, 2)

    x, out = torch.randn(3, 40, 7).bfloat16(), torch.randn(3, 40, 5).bfloat16()
    graph = trace(gradient, x, out)
    assert operations(graph) == ["aten.transpose.int", "aten.bmm.default"]
    assert graph(x, out).is_contiguous()
    torch.testing.assert_close(graph(x, out), gradient(x, out))


@pytest.mark.parametrize("same", [True, False])
def test_a_transposed_product_in_float32_only_where_no_bit_moves(same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def gradient(x: Tensor, out: Tensor) -> Tensor:
        return torch.bmm(x.transpose(1, 2), out).transpose(1, 2)

    monkeypatch.setattr(torch, "equal", lambda *_: same)
    x, out = torch.randn(3, 64, 32), torch.randn(3, 64, 16)
    assert operations(trace(gradient, x, out)).count("aten.transpose.int") == (1 if same else 2)


@pytest.mark.parametrize(("samples", "n_in", "n_out"), [(256, 784, 300), (256, 300, 100), (256, 100, 10), (100, 1, 1)])
def test_a_transposed_product_has_the_bits_of_the_function(samples: int, n_in: int, n_out: int) -> None:
    def gradient(x: Tensor, out: Tensor) -> Tensor:
        return torch.bmm(x.transpose(1, 2), out).transpose(1, 2)

    x, out = torch.randn(2, samples, n_in), torch.randn(2, samples, n_out)
    assert torch.equal(trace(gradient, x, out)(x, out), gradient(x, out))


def test_a_product_that_is_used_otherwise_too_stays() -> None:
    def both(x: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        product = torch.bmm(x.transpose(1, 2), out)
        return product, product.transpose(1, 2)

    x, out = torch.randn(3, 40, 7).bfloat16(), torch.randn(3, 40, 5).bfloat16()
    graph = trace(both, x, out)
    assert operations(graph).count("aten.bmm.default") == 1
    assert all(map(torch.equal, graph(x, out), both(x, out)))


def test_a_product_by_one_that_makes_numbers_of_labels_stays() -> None:
    def mean(labels: Tensor) -> Tensor:
        return (labels * 1.0).mean()

    labels = torch.tensor([0, 1, 1])
    assert torch.equal(trace(mean, labels)(labels), mean(labels))
