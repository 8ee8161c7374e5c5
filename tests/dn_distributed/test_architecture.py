"""A network goes into two files and comes out of them the same; a file that names anything else is refused."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import dn_distributed as dn
from dn_distributed import exporting
from dn_distributed.errors import ExportError
from dn_distributed.exporting import architecture
from tests.dn_distributed.exported_networks import NETWORKS, make
from tests.dn_distributed.test_compaction import Branches, kill_, normalise_


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_with_the_same_outputs_to_the_bit(name: str, tmp_path: Path) -> None:
    network, inputs = make(name)
    exporting.save(network, tmp_path, inputs)
    loaded = exporting.load(tmp_path)
    assert not loaded.training
    assert torch.equal(loaded(inputs), network(inputs))
    assert loaded.state_dict().keys() == network.state_dict().keys()
    assert {n for n, _ in loaded.named_parameters()} == {n for n, _ in network.named_parameters()}
    assert all(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loaded_network_becomes_a_program_of_torch_export(name: str, tmp_path: Path) -> None:
    """As ``docs/how-to/take-a-smaller-network-home.md`` says."""
    network, inputs = make(name)
    exporting.save(network, tmp_path, inputs)
    program = torch.export.export(exporting.load(tmp_path), (inputs,))
    torch.testing.assert_close(program.module()(inputs), network(inputs), rtol=1e-6, atol=1e-7)


def test_a_smaller_network_becomes_a_program_of_torch_export_for_batches_of_any_size(tmp_path: Path) -> None:
    """With an index of the inputs that are read, and the constants of a branch."""
    torch.manual_seed(0)
    network = Branches(nn.BatchNorm2d, nn.Sigmoid, 0).eval()
    normalise_(network)
    kill_(network, 0.5, 0)
    inputs = torch.randn(6, 2, 9, 9)
    exporting.save(dn.compact(network, inputs), tmp_path, inputs)
    sizes = ({0: torch.export.Dim("batch", min=2)},)
    program = torch.export.export(exporting.load(tmp_path), (inputs[:3],), dynamic_shapes=sizes)
    torch.testing.assert_close(program.module()(inputs), network(inputs))


class Sequences(nn.Module):
    """Reads the last output of what goes through a sequence."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part, self.fc = part, nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        found = self.part(x, x, x) if isinstance(self.part, nn.MultiheadAttention) else self.part(x)
        outputs: Tensor = self.fc(found[0][:, -1])
        return outputs


@pytest.mark.parametrize(
    "part",
    [
        nn.LSTM(6, 6, batch_first=True),
        nn.LSTM(6, 9, 2, bias=False, proj_size=6, batch_first=True),
        nn.GRU(6, 3, bidirectional=True, batch_first=True),
        nn.RNN(6, 6, nonlinearity="relu", batch_first=True),
        nn.MultiheadAttention(6, 2, bias=False, batch_first=True),
    ],
    ids=lambda part: type(part).__name__,
)
def test_recurrent_layers_and_attention_come_back_as_they_were_made(part: nn.Module, tmp_path: Path) -> None:
    inputs = torch.randn(4, 5, 6)
    small = dn.compact(Sequences(part), inputs)
    exporting.save(small, tmp_path, inputs)
    assert torch.equal(exporting.load(tmp_path)(inputs), small(inputs))


def test_a_loaded_network_can_be_trained_further(tmp_path: Path) -> None:
    network, inputs = make("batch norm")
    exporting.save(network, tmp_path, inputs)
    loaded = exporting.load(tmp_path).train()
    loaded(inputs).sum().backward()
    assert all(parameter.grad is not None for parameter in loaded.parameters())


def test_the_description_is_plain_and_names_torch_alone() -> None:
    network, _ = make("plain")
    described = architecture.describe(network)
    assert json.loads(json.dumps(described)) == described
    assert described["modules"]["1"] == {
        "class": "Linear", "arguments": {"in_features": 784, "out_features": 7, "bias": True},
    }  # fmt: skip
    assert [node["op"] for node in described["nodes"]] == ["placeholder", *["call_module"] * 4, "output"]


class Own(nn.Linear):
    pass


class Calls(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (nn.Sequential(nn.Identity(), nn.Linear(4, 4), nn.Softmax(-1), nn.MaxPool1d(2)), None),
        (Calls(lambda x: x.numpy()), "calls the method 'numpy', which is none that"),
        (Calls(lambda x: x.device.type), "calls 'getattr', which is no function of torch or operator"),
        (Calls(lambda x: torch.add(x, torch.ones(2))), None),
        (Calls(lambda x: torch.add(x, 1 + 2j)), "has an argument of type complex"),
    ],
)
def test_what_the_files_cannot_hold_is_one_line_and_nothing_is_written(
    network: nn.Module, reason: str | None, tmp_path: Path
) -> None:
    traced = torch.fx.symbolic_trace(network.eval())
    if reason is None:
        exporting.save(traced, tmp_path, torch.ones(2, 4) if isinstance(network, nn.Sequential) else torch.ones(2))
        return
    with pytest.raises(ExportError, match=reason) as caught:
        exporting.save(traced, tmp_path, torch.ones(2))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_tensor_that_the_graph_does_not_read_is_not_written(tmp_path: Path) -> None:
    network, inputs = make("some inputs")
    network.register_buffer("pixels_of_old", torch.ones(3))
    exporting.save(network, tmp_path, inputs)
    assert "pixels_of_old" not in load_file(tmp_path / architecture.MODEL)
    assert torch.equal(exporting.load(tmp_path)(inputs), network(inputs))


class WithLeaf(torch.fx.Tracer):
    def is_leaf_module(self, m: nn.Module, name: str) -> bool:
        return True


def test_a_module_of_ones_own_cannot_be_named(tmp_path: Path) -> None:
    network = nn.Sequential(Own(2, 2))
    traced = torch.fx.GraphModule(network, WithLeaf().trace(network))
    with pytest.raises(ExportError, match="module '0' is Own, which is no class of"):
        exporting.save(traced, tmp_path, torch.ones(2, 2))


def test_a_constructor_that_cannot_be_restored_is_refused(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    layer.in_features = 3  # says other than it has
    with pytest.raises(ExportError, match=r"'0.weight' has the shape \[2, 2\], not \[2, 3\]"):
        exporting.save(torch.fx.symbolic_trace(nn.Sequential(layer)), tmp_path, torch.ones(2, 2))
    odd = nn.ReLU()
    odd.forward = torch.sigmoid  # type: ignore[method-assign]
    with pytest.raises(ExportError, match="outputs are others when it is built from its description"):
        exporting.save(torch.fx.symbolic_trace(nn.Sequential(odd)), tmp_path, torch.ones(2, 2))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def written(tmp_path: Path) -> Path:
    network, inputs = make("some inputs")
    exporting.save(network, tmp_path, inputs)
    return tmp_path


Change = Callable[[dict[str, Any]], object]
HOSTILE: dict[str, tuple[Change, str]] = {
    "function": (
        lambda a: a["nodes"][2].update(op="call_function", target="os.system", args=["true"]),
        "'os.system' is no function that",
    ),
    "pickle": (
        lambda a: a["nodes"][2].update(op="call_function", target="torch.load", args=["x"]),
        "'torch.load' is no function that",
    ),
    "method": (
        lambda a: a["nodes"][2].update(op="call_method", target="apply_", args=[]),
        "'apply_' is no method that",
    ),
    "class": (lambda a: a["modules"]["layers.0"].update({"class": "init"}), "'init' is no module of torch.nn"),
    "code in a placeholder": (
        lambda a: a["nodes"][0].update(target="x=print('hello')"),
        r"\"x=print\('hello'\)\" is no name of a value",
    ),
    "code in a module's name": (
        lambda a: a["modules"].update({'a"+b': a["modules"].pop("layers.0")}),
        "is no name of a module",
    ),
    "code in a keyword": (lambda a: a["nodes"][2]["kwargs"].update({"a)or(b": 1}), r"'a\)or\(b' is no name of a value"),
    "constant": (
        lambda a: a["nodes"][2]["args"].append({"torch": "load"}),
        r"\"torch\\?\": .*load.* is no value that",
    ),
    "no module": (lambda a: a["modules"].pop("layers.0"), "not the architecture of a network"),
    "missing node": (lambda a: a["nodes"].pop(1), "not the architecture of a network"),
    "argument": (lambda a: a["modules"]["layers.0"]["arguments"].update(wide=1), "unexpected keyword argument 'wide'"),
    "version": (lambda a: a.update(format=2), "not the architecture of a network in format 1"),
    "nothing": (lambda a: a.clear(), "not the architecture of a network in format 1"),
    "size": (
        lambda a: a["modules"]["layers.0"]["arguments"].update(in_features=10**12),
        r"'layers.0.weight' has the shape \[6, 4\], not \[6, 1000000000000\]",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_names_anything_else_is_refused_in_one_line(name: str, written: Path) -> None:
    change, reason = HOSTILE[name]
    path = written / architecture.ARCHITECTURE
    described = copy.deepcopy(json.loads(path.read_text()))
    change(described)
    path.write_text(json.dumps(described))
    with pytest.raises(ExportError, match=reason) as caught:
        exporting.load(written)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"[1, 2]", b"\xff", b"\x80\x04K\x01."])
def test_a_file_that_is_no_description_is_refused(content: bytes, written: Path) -> None:
    (written / architecture.ARCHITECTURE).write_bytes(content)
    with pytest.raises(ExportError, match=r"architecture\.json: "):
        exporting.load(written)


def test_numbers_that_are_none_of_the_architecture_are_refused(written: Path) -> None:
    path = written / architecture.MODEL
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}  # they may lie in the file itself
    save_file({**tensors, "more": torch.ones(1)}, path)
    with pytest.raises(ExportError, match="the tensor 'more' is none of the architecture"):
        exporting.load(written)
    save_file({name: tensor for name, tensor in tensors.items() if name != "pixels"}, path)
    with pytest.raises(ExportError, match="the tensor 'pixels' is missing"):
        exporting.load(written)
    torch.save(tensors, path)
    with pytest.raises(ExportError, match="not a safetensors file"):
        exporting.load(written)
    path.unlink()
    with pytest.raises(ExportError, match=r"model\.safetensors: no such file"):
        exporting.load(written)


def test_every_function_that_a_file_may_name_has_a_name_of_its_own() -> None:
    assert {"torch.nn.functional.relu", "torch.flatten", "operator.add"} <= architecture._functions().keys()
    assert not {"torch.load", "torch.save", "torch.compile"} & architecture._functions().keys()
    assert all(hasattr(torch.Tensor, name) for name in architecture.METHODS)
