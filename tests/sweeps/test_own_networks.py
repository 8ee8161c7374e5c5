"""Networks that a sweep file describes, on data of one's own: fitted, or refused while planning."""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import Tensor, nn

from dn_distributed import registry
from dn_distributed.errors import ArgumentError, DataError
from dn_distributed.tasks.network import Network
from dn_distributed.training import rehearsal
from sweeps.errors import SpecError
from sweeps.planning import plan as planning
from sweeps.planning.data import fit_to_data
from sweeps.spec.load import load
from sweeps.spec.own_modules import OwnModules
from sweeps.spec.sweep import Sweep
from tests.made_pictures import any_checksum as any_checksum
from tests.made_pictures import make_flowers
from tests.tracking.fabricated import make_cell
from tracking.portable.checks import check_cell
from tracking.results import networks

FILE = """
name: own
network: {mlp: {hidden: [8]}}
dataset: {name: csv, path: table.csv, target: label}
training: {epochs: 1, batch_size: 8}
methods: [{label: DN+P, dn: 1.0e-3}]
"""

CALLS = "network={name: 'subprocess:getoutput', args: {cmd: 'touch called'}}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(60, 3)), columns=["a", "b", "c"]).assign(label=np.arange(60) % 2)
    frame.to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "own.yaml").write_text(FILE)
    return tmp_path


def fitted(folder: Path, *overrides: str) -> Sweep:
    return fit_to_data(load(folder / "own.yaml", overrides), None)[0]


def keys(folder: Path, *overrides: str) -> list[str]:
    sweep, data = fit_to_data(load(folder / "own.yaml", overrides), None)
    return [cell.cell.key for cell in planning.make(sweep, data, {}, {}).cells]


def test_shapes_come_from_the_data(folder: Path) -> None:
    task = fitted(folder).task
    assert [tuple(p.shape) for p in task.network().parameters() if p.ndim == 2] == [(8, 3), (2, 8)]
    assert task.layers == ("fc1", "fc2")
    assert [score.name for score in task.scores] == ["accuracy"]
    assert [score.name for score in fitted(folder, "dataset.goal=regression").task.scores] == ["nmse", "mse"]


def test_a_network_has_no_coefficients_to_be_held_against_those_of_generated_data(folder: Path) -> None:
    _, data = fit_to_data(load(folder / "own.yaml", ["dataset=linear_scripted"]), None)
    assert data.for_seeds([0, 1]).truth is None
    assert pickle.loads(pickle.dumps(data)).for_seeds([0]).train.inputs.shape == (1, 500, 20)


def test_a_name_that_is_too_long_for_a_file_is_refused() -> None:
    with pytest.raises(SpecError, match="File name too long"):
        load("x" * 300)


def test_the_task_is_made_again_from_its_identity(folder: Path) -> None:
    task = fitted(folder).task
    again = type(task)(**task.identity())
    assert again == task
    assert again.layers == task.layers


def test_the_content_of_a_file_is_part_of_the_identity_and_its_place_is_not(folder: Path) -> None:
    before = keys(folder)
    (folder / "table.csv").rename(folder / "other.csv")
    assert keys(folder, "dataset.path=other.csv") == before
    with (folder / "other.csv").open("a") as file:
        file.write("1,2,3,1\n")
    assert keys(folder, "dataset.path=other.csv") != before


def test_one_number_to_predict_is_one_number(folder: Path) -> None:
    with pytest.raises(SpecError, match=r"puts out 2 numbers, the data of 'csv' have 1 number to predict$"):
        fitted(folder, "network.mlp=[3, 8, 2]", "dataset.goal=regression")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("network.mlp=[4, 8, 2]", "own.yaml.*the network takes 4 inputs, the data of 'csv' have 3"),
        ("network.mlp=[3, 8, 5]", "the network puts out 5 numbers, the data of 'csv' have 2 classes"),
        ("network.mlp=[1000000000, 1000000000, 2]", "network: the network cannot be built: "),
        (f"dataset.path={'x' * 300}", "dataset: .*xxx"),
        (f"dataset={{name: image_folder, size: 9, path: {'x' * 300}}}", "dataset: .*xxx"),
        ("network=torchvision:resnet18", "does not take inputs of the shape 3 that 'csv' has"),
        ("network=torchvision:resnet", "torchvision has no network 'resnet'; valid: alexnet"),
        ("network={name: 'torchvision:alexnet', args: {weights: DEFAULT}}", "weights would be downloaded"),
        ("network={name: 'torchvision:alexnet', args: {pretrained: true}}", "weights would be downloaded"),
        ("network=nowhere:net", "network nowhere:net: functions of 'nowhere' are run only where --import nowhere "),
        (CALLS, "functions of 'subprocess' are run only where --import subprocess names it"),
        ("network=mlp", "expected {mlp: "),
        ("network.mlp=[3]", "expected .inputs, …, outputs. or"),
        ("pruning.thresholds.fc3=0.1", "the regularised layers of 'network' are: fc1, fc2"),
        ("dataset.target=x", "table.csv: no column 'x'"),
        ("dataset.path=no.csv", "no.csv: No such file or directory .a relative path is looked for in .* first, beside"),
        (
            "dataset={name: csv, path: table.csv, target: label, split: c, validation: 0.15}",
            "dataset: validation does noth",
        ),
        (
            "dataset={name: csv, path: table.csv, target: label, split: c, test: 0.2}",
            "dataset: test does nothing beside",
        ),
        (
            "dataset={name: parquet, path: x, target: label, split: c, split_seed: 0}",
            "dataset: split_seed does nothing",
        ),
        ("dataset.ignore=[a, label]", "dataset: the target 'label' stands under ignore too"),
        ("task=lenet300", "network: stands in place of 'task'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(folder: Path, override: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        fitted(folder, override)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dataset", "advice"),
    [
        ({"name": "image_folder", "path": "x", "size": 9}, "give it as an option of the dataset"),
        ({"name": "csv", "path": "table.csv", "target": "label"}, "leave it out"),
    ],
)
def test_images_are_not_held_out_by_a_task_whose_data_have_a_validation_part(
    dataset: dict[str, Any], advice: str
) -> None:
    sweep: dict[str, Any] = {"name": "own", "dataset": dataset, "methods": [{"label": "P"}]}
    with pytest.raises(SpecError, match=f"dataset: validation_size of the task does nothing with .*: {advice}$"):
        load({**sweep, "task": {"name": "network", "validation_size": 5}})
    assert load({**sweep, "task": "network"}).task == Network()
    task = load({**sweep, "dataset": "digits", "task": {"name": "network", "validation_size": 5}}).task
    assert task == Network(validation_size=5)


def test_a_stored_table_has_all_options_and_is_read(folder: Path) -> None:
    dataset = load(folder / "own.yaml", ["dataset.split=c"]).dataset
    stored = dataset.model_dump(mode="json")
    cell = make_cell().model_copy(update={"dataset": stored})
    check_cell(cell)
    assert networks.dataset_of(cell) == dataset


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("penalized: [fc1], filters: true", r"task\.filters: 'penalized' names all layers that are meant"),
        ("penalized: [fc1, fc7]", "regularised layer 'fc7' is no nn.Linear"),
        ("goal: regression", "goal of the task is regression, that of the data of 'csv' classification"),
        ("input_shape: [4]", "input_shape of the task is 4, that of the data of 'csv' 3"),
    ],
)
def test_options_of_the_task_that_do_not_fit_are_refused(folder: Path, options: str, message: str) -> None:
    (folder / "own.yaml").write_text(FILE.replace("network: {mlp", "task: {name: network, XX, architecture: {mlp"))
    text = (folder / "own.yaml").read_text().replace("XX", options).replace("[8]}}", "[8]}}}")
    (folder / "own.yaml").write_text(text)
    with pytest.raises(SpecError, match=message):
        fitted(folder)


@pytest.fixture
def nothing_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No module of the user's is known, and after the test as many as before."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before, modules = {*registry.OWN_MODULES}, {*sys.modules}
    registry.OWN_MODULES.clear()
    yield
    registry.OWN_MODULES.clear()
    registry.OWN_MODULES.update(before)
    for name in {*sys.modules} - modules:
        if name.startswith("nets_"):
            del sys.modules[name]


@pytest.mark.usefixtures("nothing_imported")
def test_the_source_of_a_function_of_ones_own_is_part_of_the_identity(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = folder / "nets_of_this_test.py"
    text = (
        "from torch import nn\n"
        "def small(num_outputs, width):\n"
        "    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), {})\n"
    )
    made = "network={name: 'nets_of_this_test:small', args: {width: 5}}"
    module.write_text(text.format("nn.Linear(width, num_outputs)"))
    with pytest.raises(SpecError, match="only where --import nets_of_this_test names it"):
        keys(folder, made)
    assert "nets_of_this_test" not in sys.modules
    OwnModules(str(folder), ("nets_of_this_test",)).load()
    before = keys(folder, made)
    assert fitted(folder, made).task.layers == ("0", "2")
    monkeypatch.delitem(sys.modules, "nets_of_this_test")
    module.write_text(text.format("nn.Linear(width, num_outputs, bias=False)"))
    assert keys(folder, made) != before
    monkeypatch.delitem(sys.modules, "nets_of_this_test")
    module.write_text(text.format("nn.Linear(width, 7)"))
    with pytest.raises(SpecError, match="puts out 7 numbers"):
        keys(folder, made)


@pytest.mark.usefixtures("nothing_imported")
def test_load_imports_modules_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "nets_for_load.py").write_text(
        "from torch import nn\ndef net(num_outputs): return nn.Sequential(nn.Linear(3, num_outputs))\n"
    )
    monkeypatch.chdir(folder)
    overrides = {"network": "nets_for_load:net"}
    assert load(folder / "own.yaml", overrides, imports="nets_for_load").path == folder / "own.yaml"
    registry.OWN_MODULES.clear()
    with pytest.raises(SpecError, match="--import nets_for_load names it"):
        fit_to_data(load(folder / "own.yaml", overrides), None)
    with pytest.raises(SpecError, match="--import nets_nowhere: No module named 'nets_nowhere'"):
        load(folder / "own.yaml", imports=["nets_nowhere"])


@pytest.mark.usefixtures("nothing_imported")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("input", r"own.yaml.*layer 'input' has the name under which figures of the network's inputs are stored"),
        ("a/b", "layer 'a/b': a stored name has letters"),
        ("x" * 161, "layer 'xxx.*its name is longer than 160 bytes"),
    ],
)
def test_a_layer_whose_figures_could_not_be_told_from_others_is_refused(folder: Path, name: str, message: str) -> None:
    (folder / "nets_with_names.py").write_text(
        "from collections import OrderedDict\nfrom torch import nn\n"
        "def net(name): return nn.Sequential(OrderedDict([(name, nn.Linear(3, 2))]))\n"
    )
    OwnModules(str(folder), ("nets_with_names",)).load()
    made = "network={{name: 'nets_with_names:net', args: {{name: {}}}}}"
    assert fitted(folder, made.format("inputs")).task.layers == ("inputs",)
    with pytest.raises(SpecError, match=message) as caught:
        fitted(folder, made.format(name))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("nothing_imported")
@pytest.mark.parametrize("first", ["LazyLinear(2)", "LazyBatchNorm1d(affine=False)"])
def test_layers_without_sizes_are_refused(folder: Path, first: str) -> None:
    (folder / "nets_lazy.py").write_text(f"from torch import nn\ndef net(): return nn.Sequential(nn.{first})\n")
    OwnModules(str(folder), ("nets_lazy",)).load()
    with pytest.raises(
        SpecError, match=r"network: layer '0' is lazy \(Lazy.*: give its sizes, as (Linear|BatchNorm1d)"
    ):
        fitted(folder, "network=nets_lazy:net")


@pytest.mark.usefixtures("nothing_imported")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("getoutput", "functions of 'subprocess' are run only"),
        ("partly", "partly is no function"),
        ("absent", "has no attribute 'absent'"),
    ],
)
def test_of_a_module_of_ones_own_only_its_own_functions_are_run(folder: Path, name: str, message: str) -> None:
    (folder / "nets_with_others.py").write_text(
        "from functools import partial\nfrom subprocess import getoutput\npartly = partial(getoutput)\n"
    )
    OwnModules(str(folder), ("nets_with_others",)).load()
    with pytest.raises(SpecError, match=message):
        fitted(folder, f"network=nets_with_others:{name}")


def test_a_stored_cell_runs_no_function(folder: Path) -> None:
    task = fitted(folder).task.identity()
    called = {**task, "architecture": {"name": "os:mkdir", "args": {"path": str(folder / "called")}}}
    cell = make_cell().model_copy(update={"task": called})
    with pytest.raises(ArgumentError, match="--import os names it"):
        networks.task_of(cell).network()
    assert not (folder / "called").exists()


def test_test_data_that_lay_beside_the_sweep_file_are_asked_for(folder: Path, tmp_path: Path) -> None:
    sweep, data = fit_to_data(load(folder / "own.yaml"), None)
    assert len(networks.load_test_split(sweep.task, sweep.dataset, 0, folder, data.digest).inputs) == 9
    with pytest.raises(DataError, match=r"table\.csv: No such file.*give --data-dir FOLDER of the file"):
        networks.load_test_split(sweep.task, sweep.dataset, 0, tmp_path / "elsewhere", data.digest)


@pytest.mark.usefixtures("nothing_imported")
def test_a_copy_allows_the_functions_of_registered_classes() -> None:
    registry.OWN_MODULES.add("nets_registered")
    sent = pickle.dumps(OwnModules("/elsewhere", ()))
    registry.OWN_MODULES.clear()
    pickle.loads(sent)
    assert registry.is_own_module("nets_registered.parts")
    assert not registry.is_own_module("nets_registered_not")


@pytest.mark.slow
@pytest.mark.usefixtures("any_checksum")
def test_the_shipped_sweep_of_alexnet_fits_flowers(tmp_path: Path) -> None:
    make_flowers(tmp_path)
    overrides = {"dataset.size": 64, "training.batch_size": 8, "methods": [{"label": "DN+DO+P", "dn": 1e-5}]}
    task = fit_to_data(load("more/alexnet-flowers", overrides), tmp_path)[0].task
    assert task.layers == ("classifier.1", "classifier.4", "classifier.6")
    assert task.network().get_submodule("classifier.6").out_features == 102


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("network: {mlp: [7, 8, 2]}", r"own.yaml:3: network: the network takes 7 inputs"),
        ("network: {mlp: {hidden: [-8]}}", r"own.yaml:3: network\.mlp\.hidden\[0\]: "),
        ("network:", r"own.yaml:3: network: expected \{mlp: "),
        ("task: {name: network, architecture: {mlp: [7, 8, 2]}}", r"own.yaml:3: task: the network takes 7 inputs"),
    ],
)
def test_what_is_wrong_with_a_network_is_said_by_the_key_of_the_file(folder: Path, said: str, message: str) -> None:
    (folder / "own.yaml").write_text(FILE.replace("network: {mlp: {hidden: [8]}}", said))
    with pytest.raises(SpecError, match=message):
        fitted(folder)
    (folder / "own.yaml").write_text(FILE)
    with pytest.raises(SpecError, match=r"own.yaml: --set network=\{mlp: \[7, 2\]\}: network: the network takes 7"):
        fitted(folder, "network={mlp: [7, 2]}")


@pytest.mark.parametrize("said", ["dataset:", "task: lenet300\ndataset: {name: csv, path: table.csv, target: label}"])
def test_a_key_that_does_not_stand_is_not_said_to_be_none(folder: Path, said: str) -> None:
    (folder / "own.yaml").write_text(FILE.replace("dataset: {name: csv, path: table.csv, target: label}", said))
    with pytest.raises(SpecError, match=r"(give a value, or leave the key out|give one of them)$"):
        fitted(folder)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["network.mlp={hidden: []}", "methods.0.dropout={grid: [0, 0.5]}"],
            r"own.yaml: --set .*: methods\[0\].dropout: .*no nn.Dropout",
        ),
        (
            ["training.augment={shift: {grid: [0, 1]}}"],
            "training.augment.shift: .*the inputs of 'network' are no images",
        ),
        (
            ["methods.0={label: M, l0: 1e-3, sparse_vd: {grid: [0, 1e-3]}}"],
            r"methods\[0\].sparse_vd: .*a method can have one of them",
        ),
        (
            [
                "training=[{steps: 1, batch_size: 8}, {steps: 1, batch_size: 8, prune: {keep: 0.5}}]",
                "methods.0={label: M, l0: {grid: [0, 1e-3]}}",
            ],
            r"methods\[0\].l0: .*phase 2 drops, prunes or keeps",
        ),
        (
            ["methods.0={label: M, l0: 1e-3, sparse_vd: 1e-3}"],
            r"own.yaml: --set .*: methods\[0\]: .*a method can have one of them",
        ),
        (["training.augment={shift: 1}"], "network: .*the inputs of 'network' are no images"),
        (
            ["network=nets_normed:net", "training.batch_size={grid: [8, 1]}"],
            "training.batch_size: .*one value per channel in a batch",
        ),
        (
            ["dataset=digits", "training.augment={shift: {grid: [1, 40, 2]}}"],
            "training.augment.shift: .*moves images by up to 40 pixels",
        ),
    ],
)
@pytest.mark.usefixtures("nothing_imported")
def test_not_the_first_value_alone_of_what_is_searched_is_tried(
    folder: Path, overrides: list[str], message: str
) -> None:
    (folder / "nets_normed.py").write_text(
        "from torch import nn\n"
        "def net(): return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))\n"
    )
    OwnModules(str(folder), ("nets_normed",)).load()
    with pytest.raises(SpecError, match=message):
        fitted(folder, *overrides)


def test_rates_alone_are_not_tried_one_by_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are sizes of coefficients: planning would take long, and a step goes the same way."""
    tried: list[dict[str, float]] = []

    def rehearse(_: object, regularization: dict[str, float], *__: object, **___: object) -> list[str]:
        tried.append(regularization)
        return []

    monkeypatch.setattr(rehearsal, "rehearse", rehearse)
    fitted(
        folder,
        "training.learning_rate={grid: [0.1, 0.01, 0.001]}",
        "training.augment={flip: false}",
        "methods.0={label: M, dn_incoming: {grid: [0.1, 0, 0.2]}, dropout: {grid: [0.1, 0.2]}}",
        "network.mlp={hidden: [9]}",
    )
    assert [[*found] for found in tried] == [["dn_incoming", "dropout"], ["dropout"]]


class OnlyConvolutions(nn.Module):
    """As torchvision's squeezenet: no fully connected layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, (1, 3))

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.conv(x[:, None, None])
        return outputs.flatten(1)


def test_a_network_without_layers_to_penalise_is_refused_with_what_to_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Network, "network", lambda self: OnlyConvolutions())
    said = "no regularised layer is named; the network has: conv; say which layers are meant: task: .*filters: true} or"
    with pytest.raises(SpecError, match=said):
        fitted(folder)
