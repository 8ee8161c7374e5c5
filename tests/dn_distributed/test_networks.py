"""Penalties, pruning and counts of any network, beside what trainer and ``dn measure`` make of the same weights."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torchvision.models.resnet import BasicBlock

import dn_distributed as dn
from dn_distributed import sparsity
from dn_distributed.compaction import Dropped
from dn_distributed.labels import SHORTHANDS
from dn_distributed.measure import measure
from dn_distributed.regularizers import PENALTIES, build_penalties, resolve
from dn_distributed.replicas import Replicas
from dn_distributed.tasks import TASKS
from dn_distributed.tasks.lenet5 import LeNet5Network
from tests.dn_distributed.support import gradients as gradients_of_stack
from tests.dn_distributed.support import make_task

ALL = {name: 0.5 + index for index, name in enumerate(PENALTIES)}


def small(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 3, bias=False))


def penalty_of(network: nn.Module, asked: Mapping[str, Any]) -> Tensor:
    return dn.penalty(network, **asked)


def gradients(network: nn.Module, value: Tensor) -> dict[str, Tensor | None]:
    network.zero_grad()
    torch.autograd.backward(value)
    return {name: parameter.grad for name, parameter in network.named_parameters()}


def test_values_and_gradients_are_those_computed_by_hand() -> None:
    network = nn.Linear(2, 2)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[3.0, 4.0], [0.0, -2.0]]))
        network.bias.copy_(torch.tensor([1.0, -1.0]))
    weight, bias = torch.tensor([[3.0, 4.0], [0.0, -2.0]]), torch.tensor([1.0, -1.0])
    norms_in, norms_out = torch.tensor([[5.0], [2.0]]), torch.tensor([[3.0, 20**0.5]])
    expected = {
        "l1": (11.0, weight.sign(), bias.sign()),
        "l2": (0.5 * (9 + 16 + 4 + 1 + 1), weight, bias),
        "dn_incoming": (7.0, weight / norms_in, None),
        "dn_outgoing": (3 + 20**0.5, weight / norms_out, None),
        "dn": (10 + 20**0.5, weight / norms_in + weight / norms_out, None),
    }
    for name, (value, of_weight, of_bias) in expected.items():
        penalty = penalty_of(network, {name: 0.1})
        assert penalty.item() == pytest.approx(0.1 * value)
        found = gradients(network, penalty)
        torch.testing.assert_close(found["weight"], 0.1 * of_weight)
        assert (found["bias"] is None) == (of_bias is None)
        if of_bias is not None:
            torch.testing.assert_close(found["bias"], 0.1 * of_bias)


@pytest.mark.parametrize("name", PENALTIES)
def test_the_gradient_passes_gradcheck_away_from_zero(name: str) -> None:
    network = small().double()
    parameters = dict(network.named_parameters())
    given = tuple((p.detach() + 0.1 * p.detach().sign()).requires_grad_() for p in parameters.values())

    def value(*tensors: Tensor) -> Tensor:
        by_name = {f"network.{key}": tensor for key, tensor in zip(parameters, tensors, strict=True)}
        return torch.func.functional_call(Penalised(network, name), by_name, ())

    assert torch.autograd.gradcheck(value, given)


class Penalised(nn.Module):
    """A module whose output is its penalty: gradcheck gives it other parameters."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network, self.penalty = network, PENALTIES[name](0.7)

    def forward(self) -> Tensor:
        return self.penalty(self.network)


ZERO: dict[str, Callable[[Tensor], Tensor]] = {
    "a row": lambda weight: weight[0],
    "a column": lambda weight: weight[:, 0],
    "all": lambda weight: weight,
}


@pytest.mark.parametrize("name", [*PENALTIES, *(name for name, parts in SHORTHANDS.items() if parts[0] in PENALTIES)])
@pytest.mark.parametrize("zero", ZERO.values(), ids=ZERO)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_where_weights_are_exactly_zero(
    name: str, zero: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    convolutional = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).to(
        dtype
    )
    layers = ["0", "2", "4"]
    with torch.no_grad():
        for layer in layers:
            zero(convolutional.get_parameter(f"{layer}.weight")).zero_()
    penalty = penalty_of(convolutional, {name: 0.3, "layers": layers})
    assert penalty.isfinite()
    assert all(grad is None or grad.isfinite().all() for grad in gradients(convolutional, penalty).values())


@pytest.mark.parametrize("task_name", TASKS)
@pytest.mark.parametrize("name", PENALTIES)
def test_it_is_the_penalty_that_the_trainer_adds(task_name: str, name: str) -> None:
    """Value and gradient, on the layers that the task gives the penalty."""
    task = make_task(task_name)
    replicas = Replicas(task, [3], 0.0, torch.device("cpu"))
    penalty = PENALTIES[name](0.5)
    touched = replicas.touched(name, penalty.touches)
    for values, into in touched:
        penalty.add_gradient_(values, into, leading=1)
    expected = sum(penalty.value(values, leading=1).item() for values, _ in touched)
    network = task.network()
    network.load_state_dict({name: view[0] for name, view in replicas.parameters.items()})
    only_first = "dn" in name and task_name == "regression"
    found = penalty(network, task.layers_of(name) if only_first else task.layers)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    by_name = gradients_of_stack(replicas)
    for parameter, grad in gradients(network, found).items():
        torch.testing.assert_close(
            torch.zeros_like(by_name[parameter][0]) if grad is None else grad, by_name[parameter][0]
        )


def test_coefficients_are_added_up() -> None:
    network = small()
    alone = sum(penalty_of(network, {name: value}).item() for name, value in ALL.items())
    assert penalty_of(network, ALL).item() == pytest.approx(alone)
    assert dn.penalty(network, dn=2.0).item() == dn.penalty(network, dn_incoming=2.0, dn_outgoing=2.0).item()


def test_a_class_is_a_penalty_by_itself() -> None:
    network = small()
    assert dn.L1(0.5)(network).item() == dn.penalty(network, l1=0.5).item()
    assert dn.Incoming(0.5)(network[1]).item() == dn.penalty(network, dn_incoming=0.5, layers=["1"]).item()
    assert dn.Outgoing(0.5)(nn.Conv2d(3, 4, 3), [""]).requires_grad


def test_without_coefficients_it_is_zero() -> None:
    assert dn.penalty(small()).item() == dn.penalty(small(), dn=0, l1=0.0).item() == 0


def test_convolutions_are_taken_where_they_are_named() -> None:
    network = LeNet5Network()
    first = network.conv1.weight
    assert dn.penalty(network, l1=1).item() == dn.penalty(network, l1=1, layers=["fc1", "fc2"]).item()
    assert dn.penalty(network, dn_incoming=1, layers=["conv1"]).item() == pytest.approx(
        first.flatten(1).norm(dim=1).sum().item()
    )
    assert dn.penalty(network, dn_outgoing=1, layers=["conv2"]).item() == pytest.approx(
        network.conv2.weight.transpose(0, 1).flatten(1).norm(dim=1).sum().item(), rel=1e-6
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"l1": -1e-5}, r"^l1 = -1e-05 is out of range \(finite and ≥ 0\)$"),
        ({"dn": float("nan")}, r"^dn = nan is out of range"),
        ({"l2": float("inf")}, r"^l2 = inf is out of range"),
        ({"l1": None}, r"^l1 = None: give a number$"),
        ({"l1": "0.1"}, r"^l1 = '0.1': give a number$"),
        ({"l1": torch.ones(2)}, r"^l1 = tensor.*: give a number$"),
        ({"dn": torch.tensor(0.1, requires_grad=True)}, r"^dn is a tensor that requires a gradient; .*: detach it$"),
        ({"l3": 1.0}, r"^unknown regulariser 'l3'; valid: l1, l2"),
        ({"l3": 0.0}, r"^unknown regulariser 'l3'; valid: l1, l2"),
        ({"dropout": 0.5}, r"^dropout is no penalty: put nn.Dropout into the network$"),
        ({"l0": 0.5}, r"^l0 is no penalty of weights as they are: it makes them random, in sweeps$"),
        ({"sparse_vd": 0.5}, r"^sparse_vd is no penalty of weights as they are: it makes them random, in sweeps$"),
        ({"dn": 1.0, "dn_incoming": 1.0}, r"^dn_incoming is set twice"),
        ({"l1": 1.0, "layers": ["fc"]}, r"^layer 'fc' is no nn.Linear or nn.Conv2d of the module; it has: 1, 4$"),
        ({"l1": 1.0, "layers": ["1", "1"]}, r"name each layer once"),
        ({"l1": 1.0, "layers": []}, r"name each layer once, and at least one"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(asked: dict[str, object], message: str) -> None:
    with pytest.raises(dn.DropNeuronError, match=message) as raised:
        penalty_of(small(), asked)
    assert isinstance(raised.value, ValueError)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("coefficient", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", PENALTIES)
def test_a_class_takes_no_coefficient_out_of_range(name: str, coefficient: float) -> None:
    with pytest.raises(dn.DropNeuronError, match=f"{name} = {coefficient} is out of range"):
        PENALTIES[name](coefficient)


def test_layers_without_weights_of_their_own_are_refused() -> None:
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    normed = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)))
    for network, message in ((tied, "shares its weight with '1.weight'"), (normed, "no parameter 'weight' of its own")):
        for use in (lambda n: dn.penalty(n, l1=1), lambda n: dn.prune(n, 0.1), lambda n: dn.masks(n, 0.1), dn.count):
            with pytest.raises(dn.DropNeuronError, match=message):
                use(network)
    assert dn.penalty(nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 4)), l1=1).item() > 0


def test_tied_biases_are_refused_as_tied_weights_are() -> None:
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].bias = tied[0].bias
    with pytest.raises(dn.DropNeuronError, match=r"^layer '0' shares its bias with '1\.bias'$"):
        dn.penalty(tied, l1=1)


def test_attention_is_not_taken_in_part() -> None:
    network = nn.TransformerEncoderLayer(4, 1)
    for use in (lambda n: dn.penalty(n, l1=1), lambda n: dn.prune(n, 0.1), lambda n: dn.masks(n, 0.1)):
        with pytest.raises(dn.DropNeuronError, match=r"^of attention 'self_attn' only .*'self_attn.in_proj_weight'"):
            use(network)
    assert list(dn.masks(network, 0.1, layers=["linear1", "self_attn.out_proj"])) == ["linear1", "self_attn.out_proj"]


@pytest.mark.parametrize("network", [nn.LazyLinear(3), nn.Linear(3, 3, device="meta")])
def test_layers_without_numbers_are_refused(network: nn.Module) -> None:
    for use in (lambda n: dn.penalty(n, l1=1), lambda n: dn.prune(n, 0.1), lambda n: dn.masks(n, 0.1), dn.count):
        with pytest.raises(dn.DropNeuronError, match=r"^layer '' holds no numbers yet: initialise the module first$"):
            use(network)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", PENALTIES)
def test_sums_of_half_precision_are_taken_in_float32(name: str, dtype: torch.dtype) -> None:
    network = nn.Sequential(nn.Linear(300, 300), nn.Linear(300, 300)).to(dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(5)
    found = penalty_of(network, {name: 1e-4})
    assert found.item() == pytest.approx(penalty_of(copy.deepcopy(network).double(), {name: 1e-4}).item(), rel=1e-5)
    assert all(grad is None or grad.isfinite().all() for grad in gradients(network, found).values())


def test_groups_of_channels_are_not_read_into_convolutions_that_have_other_groups() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2))
    assert dn.penalty(network, l1=1.0, layers=["0"]).item() > 0
    with pytest.raises(dn.DropNeuronError, match="layer '0' is a convolution with groups"):
        dn.penalty(network, dn=1.0, layers=["0"])


def test_pruning_sets_to_zero_in_place_and_returns_what_is_left() -> None:
    network = small()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    asked = dn.masks(network, 0.2)
    left = dn.prune(network, 0.2)
    assert list(left) == ["1", "4"]
    for name, mask in left.items():
        weight, old = network.get_parameter(f"{name}.weight"), before[f"{name}.weight"]
        assert torch.equal(mask, asked[name])
        assert torch.equal(mask, old.abs() >= 0.2)
        assert torch.equal(weight, old.where(mask, 0))
        assert not weight[~mask].signbit().any()
    assert torch.equal(network.get_parameter("1.bias"), before["1.bias"])


@pytest.mark.parametrize("threshold", [-0.1, float("nan"), float("inf"), "a", None])
def test_a_threshold_below_zero_is_refused(threshold: Any) -> None:
    for function in (dn.prune, dn.masks, dn.count):
        with pytest.raises(dn.DropNeuronError, match=r"^threshold must be ≥ 0"):
            function(small(), threshold)


def test_a_threshold_may_be_a_number_of_numpy_or_torch() -> None:
    expected = dn.count(small(), 0.3)
    for threshold in (np.float64(0.3), torch.tensor(0.3, dtype=torch.float64)):
        assert dn.count(small(), threshold) == expected  # type: ignore[arg-type,unused-ignore]


def test_weights_that_are_no_numbers_are_not_counted_as_zero() -> None:
    network = small()
    with torch.no_grad():
        network.get_parameter("4.weight")[0, 0] = float("nan")
    for function in (dn.prune, dn.masks, dn.count):
        with pytest.raises(dn.DropNeuronError, match="layer '4' holds NaN or infinite weights"):
            function(network, 0.1)


def test_counts_are_those_of_dn_measure(tmp_path: Path) -> None:
    network = small()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    counts = dn.count(network, 0.3)
    assert counts == measure(tmp_path / "weights.safetensors", ["1", "4"], 0.3)
    assert 0 < counts.num_nonzero < counts.num_weights
    before = dn.count(network)
    dn.prune(network, 0.3)
    assert dn.count(network) == counts != before


def test_counts_are_said_in_the_lines_of_dn_measure() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        network.get_parameter("2.weight").copy_(torch.tensor([[1.0, 1.0]]))
    assert str(dn.count(network)).splitlines() == [
        "0 (2×2): 1 of 4 weights left, density 25.0000%",
        "2 (1×2): 2 of 2 weights left, density 100.0000%",
        "total: 3 of 6 weights left, density 50.0000%, compression rate 2.00",
        "neurons input: 1 alive, 1 as published, of 2",
        "neurons 0: 1 alive, 1 as published, of 2",
        "neurons 2: 1 alive, 1 as published, of 1",
        "neurons: 3 alive, 3 as published, of 5",
        "without its dead neurons: a dense network of 2 weights, compression rate 3.00",
    ]


def test_counts_of_layers_that_are_no_chain_promise_no_dense_network() -> None:
    masks = {"a": torch.tensor([[True, False], [False, False]]), "b": torch.ones(1, 3, dtype=torch.bool)}
    *_, last = str(sparsity.count(masks, chain=False)).splitlines()
    assert last == "its layers, each without its dead neurons: 4 weights, compression rate 1.75"


@pytest.mark.parametrize("task_name", [name for name in TASKS if name != "lenet5_caffe"])
def test_counts_of_the_papers_networks_are_those_of_their_layers(task_name: str) -> None:
    task = make_task(task_name)
    network = task.network()
    assert dn.count(network, 0.01) == dn.count(network, 0.01, layers=task.layers)


def test_a_penalty_of_ones_own_is_a_coefficient(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cubic(dn.L1):
        name = "cubic"

        def value(self, tensor: Tensor, leading: int = 0) -> Tensor:
            return self.coefficient * tensor.abs().pow(3).flatten(leading).sum(-1)

    monkeypatch.setitem(PENALTIES, "cubic", Cubic)
    network = small()
    expected = sum(parameter.abs().pow(3).sum().item() for parameter in network.parameters())
    assert dn.penalty(network, cubic=2.0).item() == pytest.approx(2 * expected)
    assert build_penalties(resolve({"cubic": 2.0})) == [Cubic(2.0)]


class Residual(nn.Module):
    """What its first layer puts out is added to what the second does."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.fc1(x))
        outputs: Tensor = self.fc3(torch.relu(self.fc2(hidden)) + hidden)
        return outputs


class Blocks(nn.Module):
    """A residual network of convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.block, self.fc = nn.Conv2d(1, 8, 3), BasicBlock(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.fc(self.block(torch.relu(self.conv(x))).mean((2, 3)))
        return outputs


@pytest.mark.parametrize(
    ("make", "layers", "shape"),
    [
        (Residual, ["fc1", "fc2", "fc3"], (4, 6)),
        (Blocks, ["conv", "block.conv1", "block.conv2", "fc"], (4, 1, 9, 9)),
        (lambda: small(), ["1", "4"], (4, 6)),
    ],
    ids=["linear", "convolutions", "chain"],
)
def test_with_an_example_it_counts_what_compact_leaves(
    make: Callable[[], nn.Module], layers: list[str], shape: tuple[int, ...]
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network, example = make().eval(), torch.randn(shape)
    reads_nothing = dict(zip(layers, (2, 3, 4), strict=False))  # units that have no weight, or that nothing reads
    with torch.no_grad():
        for name in layers[:-1]:
            weight = network.get_submodule(name).get_parameter("weight")
            weight[: reads_nothing[name]] = 0
        network.get_submodule(layers[-1]).get_parameter("weight")[:, :4] = 0
    threshold = 0.05
    found = dn.count(network, threshold, layers=layers, example_input=example)
    pruned = copy.deepcopy(network)
    dn.prune(pruned, threshold, layers=layers)
    dropped = dn.compact(pruned, example).dropped
    assert isinstance(dropped, Dropped)
    alive = {unit.name: unit.alive for unit in found.units}
    outputs = {layer.name: layer.outputs for layer in dropped.layers}
    assert {name: alive[name] for name in layers[:-1]} == {name: outputs[name] for name in layers[:-1]}
    apart = dn.count(network, threshold, layers=layers)
    assert apart.num_nonzero == found.num_nonzero
    assert sum(unit.alive for unit in apart.units) != sum(alive.values()) or layers == ["1", "4"]


class Branch(nn.Module):
    """What a branch of two layers puts out is normalised and added to what the first layer does."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.fc4 = nn.Linear(6, 8), nn.Linear(8, 5), nn.Linear(5, 8), nn.Linear(8, 3)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.fc1(x))
        outputs: Tensor = self.fc4(hidden + self.norm(self.fc3(torch.relu(self.fc2(hidden)))))
        return outputs


@pytest.mark.parametrize("silent", ["fc3", "norm"])
def test_of_a_branch_that_emits_constants_alone_nothing_is_alive(silent: str) -> None:
    network, example, layers = Branch().eval(), torch.randn(4, 6), ["fc1", "fc2", "fc3", "fc4"]
    torch.nn.init.zeros_(network.get_submodule(silent).get_parameter("weight"))
    found = dn.count(network, layers=layers, example_input=example)
    dropped = dn.compact(network, example).dropped
    assert isinstance(dropped, Dropped)
    assert [unit.alive for unit in found.units] == [layer.outputs for layer in dropped.layers] == [8, 0, 0, 3]
    assert found.dense_size == sum(layer.weights for layer in dropped.layers)


class Unfollowed(nn.Module):
    """Its last layer reads what is not followed by channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.block = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.transposed, self.fc = nn.ConvTranspose2d(4, 2, 3), nn.Linear(2 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        outputs: Tensor = self.fc(self.transposed(x + self.block(x)).flatten(1))
        return outputs


def test_of_a_layer_whose_inputs_are_not_followed_all_are_needed() -> None:
    network, example, layers = Unfollowed(), torch.randn(2, 1, 4, 4), ["conv", "block", "fc"]
    with torch.no_grad():
        network.fc.weight[:, 10:] = 0
    found = dn.count(network, layers=layers, example_input=example)
    dropped = dn.compact(network, example).dropped
    assert isinstance(dropped, Dropped)
    assert [layer.inputs_alive for layer in found.layers] == [1, 4, 72]
    assert found.dense_size == sum(layer.weights for layer in dropped.layers) == 36 + 144 + 216
