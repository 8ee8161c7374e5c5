"""Data of a function of one's own: fitted, or refused while planning; the source is part of the identity."""

import sys
from pathlib import Path

import pytest

from dn_distributed.errors import DataError
from sweeps.errors import SpecError
from sweeps.spec.own_modules import OwnModules
from tests.sweeps.test_own_networks import fitted, keys
from tests.sweeps.test_own_networks import folder as folder
from tests.sweeps.test_own_networks import nothing_imported as nothing_imported
from tests.tracking.fabricated import make_cell
from tracking.results import networks

MODULE = """
from subprocess import getoutput

import dn_distributed as dn
import torch
from torch import nn


def split(size, add=0):
    x = torch.linspace(-1, 1, 3 * size).reshape(size, 3)
    return dn.Split(x, (x[:, 0] > 0).long() + add)


def made(size, num_classes=2):
    return dn.Samples(split(size), split(size), split(size), num_classes)


def unknown_class(data_dir):
    assert data_dir.name == "data"
    return dn.Samples(split(8), split(8), split(8, 1), 3)


def one_class():
    x = split(8).inputs
    return dn.Samples(*[dn.Split(x, torch.zeros(8, dtype=torch.long))] * 3, 2)


def a_gap():
    found = made(8)
    found.validation.inputs[3, 1] = torch.nan
    return found


def numbers():
    return [1, 2]


def flat(is_labels):
    found = split(8)
    return dn.Samples(*[dn.Split(found.inputs, found.targets if is_labels else found.targets.float())] * 3)


def constant(value, of_test):
    x = split(8).inputs
    y = torch.full((8, 1), value)
    return dn.Samples(*[dn.Split(x, x[:, :1] if of_test else y)] * 2, dn.Split(x, y))


def single():
    x = torch.linspace(-1, 1, 16)
    return dn.Samples(*[dn.Split(x, x.unsqueeze(1))] * 3)


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 1)

    def forward(self, x):
        return self.fc(x.unsqueeze(1))
"""
MADE = "dataset={name: 'nets_of_data:made', args: {size: 12}}"

pytestmark = pytest.mark.usefixtures("nothing_imported")


@pytest.fixture
def own(folder: Path) -> Path:
    (folder / "nets_of_data.py").write_text(MODULE)
    OwnModules(str(folder), ("nets_of_data",)).load()
    return folder


def test_the_network_is_fitted_to_what_a_function_returns(own: Path) -> None:
    task = fitted(own, MADE).task
    assert [tuple(p.shape) for p in task.network().parameters() if p.ndim == 2] == [(8, 3), (2, 8)]


def test_source_and_data_are_part_of_the_identity(own: Path) -> None:
    before = keys(own, MADE)
    assert keys(own, "dataset={name: function, function: 'nets_of_data:made', args: {size: 12}}") == before
    assert keys(own, MADE.replace("12", "16")) != before
    del sys.modules["nets_of_data"]
    (own / "nets_of_data.py").write_text(f"{MODULE}\nx = 1\n")
    assert keys(own, MADE) != before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:data", "dataset nowhere:data: functions of 'nowhere' are run only where --import nowhere names it"),
        ("nets_of_data:getoutput", "functions of 'subprocess' are run only"),
        ("nets_of_data:absent", "has no attribute 'absent'"),
        ("nets_of_data:made", "dataset nets_of_data:made: TypeError: .*size"),
        ("nets_of_data:numbers", "dataset nets_of_data:numbers: returns list, not dn.Samples"),
        ("nets_of_data:unknown_class", "nets_of_data:unknown_class.?: class 2 is in the test samples"),
        ("nets_of_data:one_class", "dataset: the train labels are all 0: nothing is to be told apart"),
        ("{name: 'nets_of_data:flat', args: {is_labels: true}}", r"not torch.int64 \[8\]: give num_classes where they"),
        (
            "{name: 'nets_of_data:flat', args: {is_labels: false}}",
            r"not torch.float32 \[8\]: .*or unsqueeze\(1\) where",
        ),
        ("{name: 'nets_of_data:constant', args: {value: 0.5, of_test: false}}", "all 8 train targets are the same"),
        ("{name: 'nets_of_data:constant', args: {value: 0.0, of_test: true}}", "all test targets are 0: nmse, "),
        ("nets_of_data:single", r"does not take inputs of the shape \(\) that 'function' has"),
        (
            "nets_of_data:a_gap",
            "a_gap.?: 1 of 8 validation inputs hold NaN or an infinite number, the first is number 4",
        ),
    ],
)
def test_what_is_no_data_is_refused_in_one_line(own: Path, name: str, message: str) -> None:
    with pytest.raises((SpecError, DataError), match=message) as caught:
        fitted(own, f"dataset={name}")
    assert "\n" not in str(caught.value)


def test_samples_of_one_number_reach_a_network_that_takes_them(own: Path) -> None:
    assert fitted(own, "dataset=nets_of_data:single", "network=nets_of_data:Line").task.layers == ("fc",)


def test_a_stored_cell_calls_no_function(folder: Path) -> None:
    called = {"name": "function", "function": "os:mkdir", "args": {"path": str(folder / "called")}}
    dataset = networks.dataset_of(make_cell().model_copy(update={"dataset": called}))
    with pytest.raises(DataError, match="--import os names it"):
        dataset.load(folder)
    assert not (folder / "called").exists()


@pytest.mark.parametrize("what", ["inputs", "targets"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_numbers_that_are_not_finite_are_refused(own: Path, what: str, value: str) -> None:
    (own / "nets_of_holes.py").write_text(
        "import dn_distributed as dn\nimport torch\n\n\n"
        "def split(value):\n"
        "    x = torch.linspace(-1, 1, 36).reshape(12, 3)\n"
        "    y = x.sum(1, keepdim=True)\n"
        f"    {'x' if what == 'inputs' else 'y'}[4:6] = value\n"
        "    return dn.Split(x, y)\n\n\n"
        "def made(value):\n"
        "    return dn.Samples(split(0), split(0), split(float(value)))\n"
    )
    OwnModules(str(own), ("nets_of_holes",)).load()
    message = f"2 of 12 test {what} hold NaN or an infinite number, the first is number 5"
    with pytest.raises(SpecError, match=message):
        fitted(own, f"dataset={{name: 'nets_of_holes:made', args: {{value: '{value}'}}}}")
