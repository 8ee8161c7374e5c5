import json
import os
import re
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import prune

import dn_distributed as dn
from dn_distributed import exporting
from dn_distributed.data import RawImages
from dn_distributed.data.digits import Digits
from dn_distributed.tasks import TASKS
from sweeps.cli import main as cli
from tracking.store import embedded
from tracking.store import location as store
from tracking.store.connection import connect
from tracking.store.sweep_store import SweepStore

MEASURE_KEYS = {
    "threshold", "layers", "num_weights", "num_nonzero", "density", "compression_rate", "neurons",
    "neurons_total", "neurons_published", "neurons_alive", "dense_size", "dense_compression",
}  # fmt: skip


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    a = torch.tensor([[0.5, 0.0, 0.001], [0.0, 0.0, 0.0]])  # [2, 3]: unit 1 receives nothing
    b = torch.tensor([[0.0, 1.0]])  # [1, 2]: unit 0 sends nothing
    save_file({"a.weight": a, "b": b, "bias": torch.zeros(2), "odd": torch.zeros(2, 5)}, path)
    return path


def test_measure_prints_the_agreed_json(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["measure", str(weights), "--layers", "a,b", "--threshold", "0.01", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == MEASURE_KEYS
    assert result["layers"][0] == {
        "name": "a", "shape": [2, 3], "num_weights": 6, "num_nonzero": 1, "density": 1 / 6,
    }  # fmt: skip
    assert (result["num_weights"], result["num_nonzero"], result["compression_rate"]) == (8, 2, 4.0)
    assert result["neurons"] == [
        {"name": "input", "total": 3, "published": 1, "alive": 0},
        {"name": "a", "total": 2, "published": 1, "alive": 0},
        {"name": "b", "total": 1, "published": 1, "alive": 0},
    ]
    assert (result["neurons_total"], result["neurons_published"], result["neurons_alive"]) == (6, 3, 0)
    assert (result["dense_size"], result["dense_compression"]) == (0, None)


def test_measure_gives_the_dense_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "alive.safetensors"
    save_file({"a": torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), "b": torch.tensor([[1.0, 1.0]])}, path)
    arguments = ["measure", str(path), "--layers", "a,b", "--threshold", "0.01"]
    assert cli.main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["dense_size"], result["dense_compression"]) == (3, 8 / 3)
    assert cli.main(arguments) == 0
    assert "without its dead neurons: a dense network of 3 weights, compression rate 2.67" in capsys.readouterr().out


def test_measure_counts_convolutions_and_the_features_that_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "filters.safetensors"
    conv, fc = torch.zeros(3, 1, 2, 2), torch.zeros(2, 6)
    conv[0], conv[1, 0, 0, 0] = 1.0, 0.5
    fc[0, 0] = fc[1, 3] = 1.0
    save_file({"conv.weight": conv, "fc.weight": fc}, path)
    arguments = ["measure", str(path), "--layers", "conv,fc", "--threshold", "0.6"]
    assert cli.main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [layer.get("inputs_alive") for layer in result["layers"]] == [None, 1]
    assert [layer["shape"] for layer in result["layers"]] == [[3, 1, 2, 2], [2, 6]]
    assert [unit["alive"] for unit in result["neurons"]] == [1, 1, 1]
    assert result["dense_size"] == 4 + 1
    assert cli.main(arguments) == 0
    assert "conv (3×1×2×2): 4 of 12 weights left" in capsys.readouterr().out


def test_measure_reads_the_masks_of_torchs_own_pruning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    for layer in network:
        prune.random_unstructured(layer, "weight", amount=2)  # type: ignore[no-untyped-call]
    path = tmp_path / "pruned.safetensors"
    save_file(network.state_dict(), path)
    assert cli.main(["measure", str(path), "--layers", "0,1.weight", "--threshold", "0", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [layer["num_nonzero"] for layer in result["layers"]] == [10, 4]
    save_file({**network.state_dict(), "0.weight_mask": torch.ones(2, 2)}, path)
    assert cli.main(["measure", str(path), "--layers", "0", "--threshold", "0"]) == 2
    assert "0.weight_mask is not of the shape of 0.weight_orig" in capsys.readouterr().err


def test_measure_takes_the_layers_of_a_task_with_its_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = TASKS["lenet5"](name="lenet5").network()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    measured = {}
    for task in ("lenet5", "{name: lenet5, filters: true}"):
        command = ["measure", str(tmp_path / "w.safetensors"), "--task", task, "--threshold", "0.02", "--json"]
        assert cli.main(command) == 0
        measured[task] = json.loads(capsys.readouterr().out)
    plain, filters = measured.values()
    assert [layer["name"] for layer in plain["layers"]] == ["fc1", "fc2"]
    assert [layer["name"] for layer in filters["layers"]] == ["conv1", "conv2", "fc1", "fc2"]
    by_name = {layer["name"]: layer["num_nonzero"] for layer in filters["layers"]}
    for layer in plain["layers"]:
        weight = network.get_parameter(f"{layer['name']}.weight")
        assert layer["num_nonzero"] == by_name[layer["name"]] == int((weight.abs() >= 0.02).sum())


def test_measure_takes_the_layers_of_an_architecture_beside_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4, 2)).eval()
    example = torch.rand(2, 1, 4, 4)
    exporting.save(dn.compact(network, example), tmp_path, example)
    assert cli.main(["measure", str(tmp_path / "model.safetensors"), "--threshold", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [layer["shape"] for layer in found["layers"]] == [[3, 1, 3, 3], [2, 12]]
    assert (found["num_nonzero"], found["dense_size"]) == (27 + 24, 27 + 24)


class Net(nn.Module):
    """Its parts by name, and a function of them as ``forward``."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


def measured(
    net: nn.Module, example: Tensor, dead: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[Any, str]:
    """What ``dn measure`` says of a network that lies there, and its messages. No weight enters unit 0 of one layer."""
    exporting.save(dn.compact(net.eval(), example), folder, example)
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, dead: tensors[dead].index_fill(0, torch.tensor([0]), 0)}, folder / "pruned.safetensors")
    assert cli.main(["measure", str(folder / "pruned.safetensors"), "--threshold", "0", "--json"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def test_measure_takes_layers_in_the_order_in_which_the_network_uses_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their names are in another one in the file: ``out`` before ``body.0``."""
    net = nn.Sequential(OrderedDict(body=nn.Sequential(nn.Linear(4, 4), nn.ReLU()), out=nn.Linear(4, 4)))
    exporting.save(dn.compact(net, torch.rand(2, 4)), tmp_path, torch.rand(2, 4))
    with torch.no_grad():
        net.get_parameter("out.weight")[:2] = 0
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    assert cli.main(["measure", str(tmp_path / "model.safetensors"), "--threshold", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    counts = dn.count(net)
    assert [layer["name"] for layer in found["layers"]] == ["body.0", "out"]
    assert found["dense_size"] == counts.dense_size == 24
    assert found["neurons_alive"] == counts.neurons_alive


def test_measure_counts_linear_layers_that_are_no_chain_each_for_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {"stem": nn.Linear(4, 5), "one": nn.Linear(5, 3), "two": nn.Linear(3, 5), "head": nn.Linear(5, 2)}

    def forward(net: Any, x: Tensor) -> Tensor:
        x = net.stem(x)
        return net.head(x + net.two(torch.relu(net.one(x))))

    found, said = measured(Net(forward, **parts), torch.rand(2, 4), "stem.weight", tmp_path, capsys)
    assert [layer["name"] for layer in found["layers"]] == list(parts)
    assert [unit["alive"] for unit in found["neurons"]] == [4, 3, 5, 2]
    assert said == ""


def test_measure_counts_convolutions_with_groups_and_names_what_it_does_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 8, 3, groups=2), nn.Flatten(2), nn.Conv1d(8, 2, 1))
    found, said = measured(net, torch.rand(2, 2, 4, 4), "0.weight", tmp_path, capsys)
    assert [(layer["name"], layer["shape"]) for layer in found["layers"]] == [("0", [4, 2, 1, 1]), ("1", [8, 2, 3, 3])]
    assert (found["num_weights"], found["num_nonzero"], found["dense_size"]) == (152, 150, 6 + 144)
    assert said == "dn: not counted, as only nn.Linear and nn.Conv2d are: 3.weight\n"


def test_measure_reads_masks_of_a_task_and_of_an_architecture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = TASKS["lenet300"](name="lenet300").network()
    exporting.save(dn.compact(net, torch.rand(2, 784)), tmp_path, torch.rand(2, 784))
    prune.random_unstructured(net.get_submodule("fc2"), "weight", amount=1000)  # type: ignore[no-untyped-call]
    path = tmp_path / "pruned.safetensors"
    save_file(net.state_dict(), path)
    for named in (["--task", "lenet300"], []):
        assert cli.main(["measure", str(path), *named, "--threshold", "0", "--json"]) == 0
        assert [layer["num_nonzero"] for layer in json.loads(capsys.readouterr().out)["layers"]] == [
            784 * 300, 29000, 1000,
        ]  # fmt: skip
        state = {**net.state_dict(), "fc2.weight_mask": torch.ones(100, 1)}
        save_file(state, tmp_path / "wrong.safetensors")
        assert cli.main(["measure", str(tmp_path / "wrong.safetensors"), *named, "--threshold", "0"]) == 2
        said = capsys.readouterr().err
        assert "fc2.weight_mask is not of the shape of fc2.weight_orig: [100, 1], not [100, 300]" in said
        assert said.count("\n") == 1


def test_measure_gives_null_where_nothing_is_left(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["measure", str(weights), "--layers", "a,b", "--threshold", "9", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["compression_rate"] is result["dense_compression"] is None


def test_measure_prints_words_without_json(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["measure", str(weights), "--layers", "a,b", "--threshold", "0"]) == 0
    assert "neurons: 0 alive, 4 as published, of 6" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("layers", "threshold", "reason"),
    [
        ("b,a", "0", "takes 3 inputs but 'b' before it has 1 outputs"),
        ("a,nosuch", "0", "no tensor 'nosuch'; it holds: a.weight, b, bias, odd"),
        ("bias", "0", r"expected a matrix \[n_out, n_in\]"),
        ("a,a", "0", "each layer once"),
        ("a", "-1", "threshold must be ≥ 0"),
        ("a", "nan", "threshold must be ≥ 0"),
    ],
)
def test_measure_refuses_what_it_cannot_measure_in_one_line(
    weights: Path, layers: str, threshold: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["measure", str(weights), "--layers", layers, f"--threshold={threshold}"]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert re.search(reason, errors)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no such file"), (b"", "is empty"), (b"no tensors here at all", "not a safetensors file")],
)
def test_measure_refuses_what_is_no_safetensors_file(
    tmp_path: Path, content: bytes | None, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert cli.main(["measure", str(path), "--layers", "a", "--threshold", "0"]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert reason in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["sweep", "pipe"],
        ["report", "--from", "pipe", "--out", "out"],
        ["import", "pipe"],
        ["measure", "pipe", "--layers", "a", "--threshold", "0"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_pipe_is_not_waited_for(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err == "dn: pipe: not a regular file\n"
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_measure_refuses_nan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.tensor([[1.0, float("nan")]])}, path)
    assert cli.main(["measure", str(path), "--layers", "a", "--threshold", "0"]) == 2
    assert "layer 'a' holds NaN" in capsys.readouterr().err


def test_a_wrong_sweep_file_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: x\ntask: lenet300\nmethod: []\n")
    assert cli.main(["sweep", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"dn: {path}:3: method: unknown key; valid: name, task, network, dataset, seeds, training, pruning, methods, "
        "resources, search\n"
    )


def test_a_dry_run_prints_the_plan_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text("name: x\ntask: regression\nseeds: 7\nmethods: [{label: P}, {label: L, l1: 1}]\n")
    assert cli.main(["sweep", "--dry-run", "s.yaml"]) == 0
    assert "2 methods, 2 cells, 7 seeds: 14 replicates; 0 done, 14 to run in 2 packs" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


@pytest.mark.parametrize(
    ("arguments", "is_said"), [((), True), (("--num-cpus", "999"), False), (("--slots", "2"), False)]
)
def test_a_dry_run_says_that_a_pack_does_not_fit_this_machine(
    arguments: tuple[str, ...],
    is_said: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text("name: x\ntask: regression\nresources: {cpu: 999}\nmethods: [{label: P}]\n")
    assert cli.main(["sweep", "--dry-run", "s.yaml", *arguments]) == 0
    assert ("does not run here: a pack asks for 999 CPU and 0 GPU" in capsys.readouterr().out) == is_said
    assert cli.main(["sweep", "--dry-run", "--json", "s.yaml", *arguments]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert ("a pack asks for 999 CPU" in (plan["does_not_run_here"] or "")) == is_said


def test_a_dry_run_of_a_sweep_that_was_deleted_says_what_the_sweep_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text("name: x\ntask: regression\nmethods: [{label: P}]\n")
    location = store.locate()
    embedded.prepare(location)
    client = connect(location)
    client.delete_experiment(SweepStore.find_or_create(location, "x").experiment_id)
    for arguments in (["--dry-run"], []):
        assert cli.main(["sweep", "s.yaml", *arguments]) == 2
        assert "the sweep 'x' was deleted from the store" in capsys.readouterr().err


def test_two_files_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("name: x\ntask: regression\nmethods: [{label: P}]\n")
    assert cli.main(["sweep", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]) == 2
    assert "is the name of another sweep file" in capsys.readouterr().err


def test_a_batch_larger_than_the_data_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: x\ntask: regression\ntraining: {batch_size: 501}\nmethods: [{label: P}]\n")
    assert cli.main(["sweep", "--dry-run", str(path)]) == 2
    assert "s.yaml:3: training.batch_size: 501 exceeds the 500 training samples" in capsys.readouterr().err


def test_a_batch_of_a_grid_larger_than_the_data_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: x\ntask: regression\nmethods: [{label: P}]\ntraining:\n  batch_size: {grid: [10, 501]}\n")
    assert cli.main(["sweep", "--dry-run", str(path)]) == 2
    assert "s.yaml:5: training.batch_size: 501 exceeds the 500 training samples" in capsys.readouterr().err


def test_data_are_read_once_for_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    load = Digits.load

    def reading(self: Digits, folder: Path) -> RawImages:
        reads.append(folder)
        return load(self, folder)

    monkeypatch.setattr(Digits, "load", reading)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DN_DATA_DIR", raising=False)
    Path("s.yaml").write_text("name: x\ntask: lenet300\ndataset: digits\nmethods: [{label: P}]\n")
    assert cli.main(["sweep", "--dry-run", "s.yaml"]) == 0
    assert reads == [tmp_path / "data"]


@pytest.mark.parametrize(
    ("arguments", "packs"),
    [
        (["--slots", "3"], "in 3 packs"),
        (["--num-cpus", "2"], "in 2 packs"),
        (["--address", "10.0.0.1:6379"], "in packs that fit the cluster's room"),
        (["--address", "10.0.0.1:6379", "--slots", "3"], "in 3 packs"),
        (["--set", "resources.pack=auto"], "in packs whose size is measured first"),
    ],
)
def test_a_plan_counts_packs_where_the_places_are_known(
    arguments: list[str],
    packs: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text("name: x\ntask: lenet300\ndataset: digits\nseeds: 6\nmethods: [{label: P}]\n")
    assert cli.main(["sweep", "--dry-run", "s.yaml", *arguments]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(packs)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["sweep", "s.yaml", "--slots", "0"], "argument --slots: expected a whole number from 1 to 100000, not '0'"),
        (["sweep", "s.yaml", "--slots", "9" * 5000], "argument --slots: expected a whole number from 1 to 100000"),
        (["sweep", "s.yaml", "--num-cpus=-1"], "argument --num-cpus: expected a whole number"),
        (["sweep", "s.yaml", "--checkpoint-seconds=-1"], "--checkpoint-seconds: expected a number of seconds"),
        (
            ["sweep", "s.yaml", "--checkpoint-seconds=nan"],
            "--checkpoint-seconds: expected a number of seconds",
        ),
        (["sweep", "s.yaml", "--report", "s.yaml/r"], "argument --report: s.yaml/r: "),
        (["sweep", "s.yaml", "--import", "broken"], "--import broken: SyntaxError: "),
        (
            ["sweep", "s.yaml", "--import", ""],
            "--import : give the module's name, without path or .py, as --import my_module",
        ),
        (["sweep"], "the following arguments are required: FILE; see dn sweep --help"),
        (["sweep", "s.yaml", "--set"], "requires an argument; see dn sweep --help"),
        (["sweep", "s.yaml", "--sett", "seeds=1"], "no such option '--sett'"),
        (["sweep", "[bold]s.yaml\x1b[31m"], "[bold]s.yaml\\x1b[31m: No such file"),
        (["sweeep"], "invalid choice: 'sweeep'"),
        ([], "missing command; see dn --help"),
        (["report", "--out", "r"], "there is no store"),
        (["report", "x", "--from", "rows.json", "--out", "r"], "not both; see dn report --help"),
        (["measure", "ab", "--threshold", "0"], "ab: no such file"),
        (["measure", "w", "--layers", "a", "--threshold", "[red]"], "argument --threshold: '[red]' is not a valid"),
        (["report", "x", "--out", "s.yaml"], "argument --out: s.yaml: "),
        (["compact", "ab"], "the following arguments are required: --out; see dn compact --help"),
        (["compact", "ab", "--out", "s.yaml"], "argument --out: s.yaml: "),
        (["compact", "ab", "--out", "o", "--threshold", "0.1"], "--threshold and --dataset go with --task"),
        (["compact", "ab", "--out", "o", "--task", "regression"], "ab: no such file"),
        (["compact", "s.yaml", "--out", "o", "--task", "regression"], "s.yaml: not a safetensors file"),
        (
            ["compact", "ab", "--out", "o", "--task", "nosuch"],
            "--task: task: unknown task 'nosuch'; valid: regression,",
        ),
        (["compact", "ab", "--out", "o", "--task", "{name: lenet5, filter: true}"], "task.filter: unknown key; valid:"),
        (
            ["compact", "ab", "--out", "o", "--task", "{name: lenet5, filters: 3}"],
            "--task: task.filters: expected true",
        ),
        (["compact", "ab", "--out", "o", "--task", "{name: lenet5"], "--task:1: expected ',' or '}'"),
        (
            ["compact", "ab", "--out", "o", "--task", "lenet300", "--dataset", "mnits"],
            "--dataset: dataset: unknown dataset 'mnits'; valid: ",
        ),
        (
            ["compact", "ab", "--out", "o", "--task", "lenet300", "--dataset", "linear_scripted"],
            "--dataset: dataset: 'linear_scripted' does not fit task 'lenet300'; valid: mnist,",
        ),
        (["measure", "w", "--layers", "a", "--task", "lenet5", "--threshold", "0"], "--layers or --task, not both"),
        (["measure", "s.yaml", "--threshold", "0"], "give --layers, or --task: no architecture.json lies beside"),
        (["measure", "w", "--task", "lenet6", "--threshold", "0"], "--task: task: unknown task 'lenet6'; valid: "),
        (["measure", "w", "--task", "lenet300", "--threshold", "0"], "w: no such file"),
        (["compact", "s.yaml", "--out", "o"], "s.yaml is a file: name with --task what its weights are of"),
        (["compact", "ab", "--out", "."], ".: holds 'broken.py', so it is no former export"),
        (["ui", "--port", "65536"], "argument --port: expected a whole number from 1 to 65535, not '65536'"),
        (["server", "--workers", "two"], "argument --workers: expected a whole number from 1 to 1000, not 'two'"),
        (["server", "--port", "\x1b[31m"], "not '\\x1b[31m'"),
    ],
)
def test_wrong_arguments_are_told_on_one_line(
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("s.yaml").write_text("name: x\ntask: regression\nmethods: [{label: P}]\n")
    Path("broken.py").write_text("def\n")
    assert cli.main(arguments) == 2
    errors = capsys.readouterr().err
    assert reason in errors
    assert errors.removesuffix("\n").isprintable()
    assert len(errors) < 2100


def test_a_home_that_the_shell_has_left_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(["measure", f"~/{weights.name}", "--layers", "a,b", "--threshold=0"]) == 0
    assert "neurons: 0 alive" in capsys.readouterr().out


def test_an_unknown_store_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", "x", "--out", "o", "--tracking-uri", "file:///tmp/mlruns"]) == 2
    assert "http://HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["report", "ui", "compact"])
def test_without_a_store_the_remedy_is_named(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([verb, *(["ab", "--out", "o"] if verb != "ui" else [])]) == 2
    assert "run `dn sweep FILE` in this folder first" in capsys.readouterr().err


def test_a_server_that_would_be_open_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DN_SERVER_PASSWORD", "DN_SERVER_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["server", "--folder", str(tmp_path / "s"), "--host", "0.0.0.0"]) == 2
    errors = capsys.readouterr().err
    assert "--host 0.0.0.0: other machines can reach it" in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_a_server_runs_for_weeks_and_loads_neither_ray_nor_torch() -> None:
    script = (
        "import sys, sweeps.cli.main, tracking.server.supervisor; print({'ray', 'torch', 'mlflow'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "set()\n"


def test_every_verb_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("sweep", "status", "report", "export", "import", "measure", "compact", "ui", "server"):
        assert cli.main([verb, "--help"]) == 0
        assert verb in capsys.readouterr().out
