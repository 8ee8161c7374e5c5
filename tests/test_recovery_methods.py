"""The methods of ``docs/results/recovery_methods.py`` are what they say: LASSO, OMP, and networks at rest."""

import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import lasso_path, orthogonal_mp
from torch import Tensor, nn

import dn_distributed as dn
from dn_distributed.proximal import Coefficients, step_
from dn_distributed.regularizers.dropneuron import Incoming, Outgoing
from dn_distributed.regularizers.l1 import L1
from tests.one_thread import one_thread as one_thread
from tests.test_results_page import RESULTS, module_at

COUNT, SAMPLES, NONZEROS = 6, 60, 5


@pytest.fixture(scope="module")
def methods() -> Any:
    """The module, as the program beside it imports it."""
    module = sys.modules["recovery_methods"] = module_at(RESULTS / "recovery_methods.py")
    return module


@pytest.fixture(scope="module")
def made(methods: Any) -> Any:
    return methods.problems("normal", 0.1, SAMPLES, NONZEROS, range(500, 500 + COUNT))


def data_like(moments: Any) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Samples that have these moments: a square root of XᵀX, and targets that fit."""
    pairs = []
    for gram, cross in zip(moments.gram, moments.cross, strict=True):
        values, vectors = torch.linalg.eigh(gram)
        inputs = values.clamp(min=0).sqrt()[:, None] * vectors.T
        targets = torch.linalg.lstsq(inputs.T, cross[:, None], driver="gelsd").solution.flatten()
        pairs.append((inputs.numpy(), targets.numpy()))
    return pairs


def test_problems_are_as_the_paper_describes_them_and_a_seeds_own(methods: Any, made: Any) -> None:
    assert torch.allclose(made.train.gram.diagonal(dim1=1, dim2=2), torch.ones(COUNT, methods.FEATURES).double())
    assert made.truth.sum(1).tolist() == [NONZEROS] * COUNT
    assert torch.linalg.matrix_rank(made.train.gram).tolist() == [SAMPLES] * COUNT
    alone = methods.problems("normal", 0.1, SAMPLES, NONZEROS, [503])
    assert torch.equal(alone.train.gram[0], made.train.gram[3])
    assert torch.equal(alone.validation.cross[0], made.validation.cross[3])


def test_noise_is_a_share_of_the_deviation_of_the_targets(methods: Any) -> None:
    """Least squares with many samples leaves what no coefficients explain: 0.1² of 1 + 0.1²."""
    made = methods.problems("sign", 0.1, 20_000, NONZEROS, [1])
    fitted = torch.linalg.solve(made.train.gram, made.train.cross.unsqueeze(2))
    left = made.train.square - (made.train.cross * fitted.squeeze(2)).sum(1)
    assert float(left / made.train.square) == pytest.approx(0.01 / 1.01, rel=0.05)


def test_lasso_is_that_of_scikit_learn(methods: Any, made: Any) -> None:
    found = methods.lasso(made.train, iterations=2000)
    scale = made.train.cross.abs().amax(1)
    for row, (inputs, targets) in enumerate(data_like(made.train)):
        alphas = np.array(methods.LASSO_STRENGTHS) * float(scale[row]) / len(inputs)
        _, path, _ = lasso_path(inputs, targets, alphas=alphas, tol=1e-12, max_iter=100_000)
        assert np.abs(found[row].numpy() - path.T).max() < 2e-3 * float(scale[row])
        strong = np.array(methods.LASSO_STRENGTHS) > 0.03
        # At the strength where the first coefficient enters, rounding alone decides whether one of 1e-15 does.
        assert ((found[row].numpy() != 0) == (np.abs(path.T) > 1e-12))[strong].all()


def test_the_exact_path_has_the_supports_of_many_strengths(methods: Any) -> None:
    made = methods.problems("normal", 0.0, 24, 4, range(8))
    strengths = [1.03**-step for step in range(234)]
    found = ((methods.lasso(made.train, strengths, 2000) != 0) == made.truth[:, None]).all(2).any(1)
    assert torch.equal(methods.on_lasso_path(made.train, made.truth), found)
    assert 0 < int(found.sum()) < 8


def test_matching_pursuit_is_that_of_scikit_learn(methods: Any, made: Any) -> None:
    found = methods.matching_pursuit(made.train, 12)
    for row, (inputs, targets) in enumerate(data_like(made.train)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = orthogonal_mp(inputs, targets, n_nonzero_coefs=12, return_path=True)
        assert (found[row].numpy() == (path.T != 0)).all()


def modules(weights: list[Tensor], row: int) -> nn.Sequential:
    """One network of a stack as torch has it."""
    layers = []
    for weight in weights:
        layer = nn.Linear(weight.shape[2], weight.shape[1], bias=False)
        layer.weight = nn.Parameter(weight[row].double())
        layers.append(layer)
    return nn.Sequential(*layers)


def penalty_of(module: nn.Module, penalty: str, strength: float) -> Tensor:
    """The product's."""
    return dn.penalty(module, l1=strength) if penalty == "ℓ1" else dn.penalty(module, dn=strength)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("penalty", ["ℓ1", "DN"])
def test_penalties_are_those_of_the_product(methods: Any, penalty: str, depth: int) -> None:
    network = methods.Network(penalty, depth, 2)
    for row in range(2):
        ours = float(network.penalties()[:, row].sum())
        assert ours == pytest.approx(float(penalty_of(modules(network.weights, row), penalty, 1.0).detach()), rel=1e-5)
    of_layers = network.penalties()
    for layer, weight in enumerate(network.weights):
        parts = [L1(1.0)] if penalty == "ℓ1" else [Incoming(1.0), Outgoing(1.0)]
        values = torch.stack([part.value(weight, leading=1) for part in parts])
        assert torch.allclose(of_layers[layer], values.sum(0))


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("penalty", ["ℓ1", "DN"])
def test_a_network_rests_where_the_gradient_of_loss_and_penalty_by_autograd_is_zero(
    methods: Any, made: Any, penalty: str, depth: int
) -> None:
    """The penalty's gradient is the product's own; of weights that are zero there is none."""
    data = methods.scaled(made.train)
    network, strength = methods.Network(penalty, depth, COUNT), 0.1
    data.train({"": network}, strength, 4000)
    assert network.alive
    for row in range(COUNT):
        module = modules(network.weights, row)
        product = torch.eye(methods.FEATURES).double()
        for layer in module:
            product = layer.weight @ product  # type: ignore[operator]
        gram, cross = data.gram[row].double(), data.cross[row].double()
        loss = (product @ gram @ product.T / 2 - product @ cross).sum()
        (loss + penalty_of(module, penalty, strength)).backward()
        for layer in module:
            weight = layer.weight
            assert isinstance(weight, Tensor)
            assert weight.grad is not None
            assert float((weight.grad * (weight != 0)).abs().max()) < 1e-3


@pytest.mark.parametrize("penalty", ["ℓ1", "DN"])
def test_layers_are_scaled_to_equal_penalties_and_the_same_product(methods: Any, penalty: str) -> None:
    network = methods.Network(penalty, 3, 4)
    network.weights[1][3] = 0.0
    before, total = network.coefficients(), network.penalties().sum(0)
    network._balance()
    after = network.penalties()
    assert torch.allclose(network.coefficients(), before, atol=1e-6)
    assert torch.allclose(after, after.mean(0).expand_as(after), rtol=1e-4)
    assert (after.sum(0) < total).all()
    assert not after[:, 3].any()  # of which one layer is zero


def stepped(values: Tensor, sizes: Tensor, multipliers: Tensor) -> Tensor:
    """The product's proximal step of DropNeuron's penalties."""
    found = values.clone()
    step_(found, sizes.expand_as(values), Coefficients(incoming=0.35, outgoing=0.35), multipliers, leading=1)
    return found


def test_the_proximal_step_is_that_of_the_product(methods: Any) -> None:
    draw = torch.Generator().manual_seed(0)
    values, sizes = torch.randn(3, 5, 20, generator=draw), torch.rand(3, 1, 1, generator=draw) + 0.5
    ours, theirs = torch.zeros_like(values), torch.zeros_like(values)
    for _ in range(3):
        found, expected = methods.dn_step(values, sizes, 0.35, ours), stepped(values, sizes, theirs)
        assert torch.allclose(found, expected, atol=1e-5)
        assert torch.allclose(ours, theirs, atol=1e-5)
        assert torch.equal(found == 0, expected == 0)


def test_the_proximal_step_of_a_layer_with_one_output_is_what_the_product_comes_to(methods: Any) -> None:
    draw = torch.Generator().manual_seed(0)
    values, sizes = torch.randn(3, 1, 20, generator=draw), torch.rand(3, 1, 1, generator=draw) + 0.5
    theirs = torch.zeros_like(values)
    for _ in range(400):
        expected = stepped(values, sizes, theirs)
    assert torch.allclose(methods.dn_step(values, sizes, 0.35, torch.zeros_like(values)), expected, atol=1e-4)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_l1_through_a_network_at_rest_is_lasso(methods: Any, made: Any, depth: int) -> None:
    """At a strength of its own: that of the network over what multiplies the hidden units that are left."""
    data = methods.scaled(made.train)
    network, strength = methods.Network("ℓ1", depth, COUNT), 0.1
    data.train({"": network}, strength, 4000)
    for row in range(COUNT):
        outer = torch.ones(1, 1)
        for weight in reversed(network.weights[1:]):
            outer = outer @ weight[row]
        parts = (part[row : row + 1] for part in (made.train.gram, made.train.cross, made.train.square))
        by = strength / float(outer.abs().max())
        lasso = methods.lasso(methods.Moments(*parts), [by], 2000)[0, 0] / made.train.cross[row].abs().max()
        assert torch.allclose(network.coefficients()[row].double(), lasso, atol=2e-3)


def test_the_choice_is_the_least_validation_error_and_of_equals_the_smallest(methods: Any) -> None:
    """Without noise every support that holds the true one has no error; with noise none is as good, but for chance."""
    made = methods.problems("sign", 0.0, SAMPLES, NONZEROS, range(4))
    extra = made.truth.clone()
    extra[torch.arange(4), (~made.truth).byte().argmax(1)] = True
    less = made.truth.clone()
    less[torch.arange(4), made.truth.byte().argmax(1)] = False
    supports = torch.stack([torch.zeros_like(extra), less, extra, made.truth, extra], 1)
    assert torch.equal(methods.choose(supports, made.train, made.validation, 40), made.truth)
    assert torch.equal(methods.choose(supports[:, :3], made.train, made.validation, 40), extra)
    assert torch.equal(methods.choose(supports, made.train, made.validation, NONZEROS - 1), less)
    assert not methods.choose(supports, made.train, made.validation, NONZEROS - 2).any()


def test_the_truth_takes_no_part_in_the_choice(methods: Any) -> None:
    made = methods.problems("normal", 0.1, SAMPLES, NONZEROS, range(3))
    supports = methods.lasso(made.train) != 0
    chosen = methods.choose(supports, made.train, made.validation, 40)
    by_hand = []
    for row in range(3):
        errors = {}
        for place, support in enumerate(supports[row]):
            size = int(support.sum())
            if 0 < size <= 40:
                fitted = torch.linalg.solve(made.train.gram[row][support][:, support], made.train.cross[row][support])
                gram, cross = made.validation.gram[row][support][:, support], made.validation.cross[row][support]
                errors[place] = float(made.validation.square[row] - 2 * fitted @ cross + fitted @ gram @ fitted)
        by_hand.append(supports[row, min(errors, key=lambda place: errors[place])])
    assert torch.equal(chosen, torch.stack(by_hand))


def test_every_method_recovers_an_easy_problem_and_none_an_impossible_one(methods: Any) -> None:
    easy = methods.recovered(methods.problems("sign", 0.0, 300, 3, range(2)), 300)
    assert [name for name, (_, chosen) in easy.items() if chosen.all()] == list(methods.METHODS)
    hard = methods.recovered(methods.problems("normal", 0.0, 36, 30, range(2)), 36)
    assert not any(bool(among.any() or chosen.any()) for among, chosen in hard.values())
