"""A smaller network as a folder: whole or not at all, and loaded by the lines of its own card."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from dn_distributed import exporting
from dn_distributed.compaction import compact, prove
from dn_distributed.errors import ExportError
from dn_distributed.exporting import bundle, costs, onnx_file
from dn_distributed.exporting.bundle import Exported
from tests.dn_distributed.exported_networks import NETWORKS, Residual, make, plain
from tests.dn_distributed.test_compaction import ACTIVATIONS, Branches, kill_, mlp, normalise_

HOW_TO = Path(__file__).parents[2] / "docs/how-to/take-a-smaller-network-home.md"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = costs.measure
    monkeypatch.setattr(costs, "measure", lambda *args, **options: genuine(*args, **options, seconds=0.01))


def pruned(network: nn.Module) -> nn.Module:
    """Some units of each layer have no weights left."""
    torch.manual_seed(1)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.weight[torch.rand(len(layer.weight)) < 0.4] = 0
    return network.eval()


def export(folder: Path, network: nn.Module | None = None, inputs: Tensor | None = None, **options: Any) -> Exported:
    network = pruned(plain() if network is None else network)
    inputs = torch.randn(20, 1, 28, 28) if inputs is None else inputs
    small = compact(network, inputs[:4])
    proof = prove(network, small, inputs)
    return bundle.export(
        network, small, folder, inputs=inputs, proof=proof, title="a | title", origin={"method": "ℓ1+`P`"}, **options
    )


def test_the_folder_has_every_file_and_a_card_of_before_and_after(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    folder = tmp_path / "new" / "small"
    done = export(folder, Residual(nn.BatchNorm2d))
    assert {path.name for path in folder.iterdir()} == bundle.FILES
    assert [path.name for path in folder.parent.iterdir()] == ["small"]
    assert done.after.num_weights < done.before.num_weights
    assert 0 < (done.after.multiply_adds or 0) < (done.before.multiply_adds or 0)
    assert done.onnx_distance is not None
    assert (folder / "model.safetensors").stat().st_size == done.after.bytes_on_disk
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# a ¦ title\n")
    assert "| method | `ℓ1+'P'` |" in card
    assert f"| weights | {done.before.num_weights:,} | {done.after.num_weights:,} |" in card
    assert "Inputs: `batch × 1 × 28 × 28`, float32" in card
    assert "of 20 test samples" in card
    assert "{{" not in card


def test_without_onnx_the_rest_is_written(tmp_path: Path) -> None:
    done = export(tmp_path / "small", onnx=False)
    assert {path.name for path in (tmp_path / "small").iterdir()} == bundle.FILES - {onnx_file.ONNX}
    assert done.onnx_distance is None
    assert "onnx" not in (tmp_path / "small/README.md").read_text()


def lines_of(page: Path) -> str:
    """The lines that load a network, as a page shows them."""
    (code,) = re.findall(r"^```python\n(import json\n.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return code


class Distances(nn.Module):
    """Those of its inputs are multiplied too, and not counted how often."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(28, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.second(torch.relu(self.first(torch.cdist(x[:, :, None], x[:, :, None]).mean(1))))
        return outputs


def test_the_card_says_what_is_not_counted(tmp_path: Path) -> None:
    done = export(tmp_path / "small", Distances(), torch.randn(8, 28), onnx=False)
    assert done.before.multiply_adds is None
    card = (tmp_path / "small" / "README.md").read_text(encoding="utf-8")
    assert "| multiply-adds of a sample | not counted | not counted |  |" in card


def test_the_card_and_the_guide_show_the_same_lines(tmp_path: Path) -> None:
    export(tmp_path / "small", onnx=False)
    code = lines_of(HOW_TO)
    assert lines_of(tmp_path / "small/README.md") == code
    assert len([line for line in code.splitlines() if line]) < 40


WITHOUT_US = """
import sys
sys.modules.update(dict.fromkeys(["dn_distributed", "tracking", "sweeps", "mlflow", "ray"]))  # no import finds them
{code}
import numpy
for folder in sys.argv[1:]:
    outputs = load(folder)(torch.from_numpy(numpy.load(folder + "/inputs.npy")))
    numpy.save(folder + "/outputs.npy", outputs.detach().numpy())
"""


def random_compact(seed: int) -> tuple[fx.GraphModule, Tensor]:
    """A smaller network of random layers and random zeros, down to nothing left."""
    torch.manual_seed(seed)
    norms: list[Callable[[int], nn.Module]] = [nn.BatchNorm2d, lambda n: nn.GroupNorm(2, n), lambda n: nn.Identity()]
    activation, share = ACTIVATIONS[seed % len(ACTIVATIONS)], (0.1, 0.4, 0.7, 1.0)[seed % 4]
    network: nn.Module = Branches(norms[seed % 3], activation, seed % 2).eval()
    inputs = torch.randn(5, 2, 9, 9)
    if seed % 3 == 0:
        network, inputs = mlp([7, 9, 5, 3], activation, norm=bool(seed % 2)), torch.randn(5, 7)
    normalise_(network)
    kill_(network, share, seed)
    return compact(network, inputs), inputs


def test_the_lines_of_the_guide_rebuild_networks_without_this_package(tmp_path: Path) -> None:
    expected = {}
    made = {name: make(name) for name in NETWORKS} | {f"random {seed}": random_compact(seed) for seed in range(24)}
    for name, (network, inputs) in made.items():
        (tmp_path / name).mkdir()
        exporting.save(network, tmp_path / name, inputs)
        np.save(tmp_path / name / "inputs.npy", inputs.numpy())
        expected[name] = network(inputs).detach().numpy()
    script = WITHOUT_US.format(code=lines_of(HOW_TO))
    command = [sys.executable, "-c", script, *made]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, outputs in expected.items():
        np.testing.assert_array_equal(np.load(tmp_path / name / "outputs.npy"), outputs)


def test_a_former_export_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    export(folder, onnx=False)
    (folder / "model.onnx").write_text("old")
    first = json.loads((folder / "architecture.json").read_text())
    export(folder, Residual(nn.BatchNorm2d), onnx=False)
    assert {path.name for path in folder.iterdir()} == bundle.FILES - {onnx_file.ONNX}
    assert json.loads((folder / "architecture.json").read_text()) != first
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


@pytest.mark.parametrize("content", ["notes.txt", "README.md", "model.safetensors"])
def test_a_folder_with_anything_else_is_left_alone(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / content).write_text("mine")
    with pytest.raises(ExportError, match=f"holds '{content}', so it is no former export"):
        export(folder, onnx=False)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {content: "mine"}
    assert list(tmp_path.iterdir()) == [folder]


def test_notes_beside_a_former_export_are_not_lost(tmp_path: Path) -> None:
    export(tmp_path / "small", onnx=False)
    (tmp_path / "small" / "my notes").write_text("mine")
    with pytest.raises(ExportError, match="holds 'my notes', so it is no former export"):
        export(tmp_path / "small", onnx=False)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "small").write_text("mine")
    with pytest.raises(ExportError, match="is there already, and no folder"):
        export(tmp_path / "small", onnx=False)


class NoOnnx(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.lgamma(self.layer(x).abs() + 1)


def test_what_cannot_be_exported_leaves_a_former_export_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    folder = tmp_path / "small"
    export(folder, onnx=False)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ExportError, match="has no ONNX form"):
        export(folder, NoOnnx(), torch.rand(6, 4))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert os.listdir(tmp_path) == ["small"]
    with pytest.raises(ExportError, match="has no ONNX form"):
        export(tmp_path / "new", NoOnnx(), torch.rand(6, 4))
    assert os.listdir(tmp_path) == ["small"]
