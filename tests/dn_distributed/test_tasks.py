"""What holds for every task; each task's own figures are in its own file."""

import itertools

import pytest
import torch

from dn_distributed.chains import is_chain, is_followed_chain
from dn_distributed.compaction.needed import is_shown_chain
from dn_distributed.data import RawImages
from dn_distributed.data.digits import Digits
from dn_distributed.data.linear import Scripted
from dn_distributed.regularizers import PENALTIES
from dn_distributed.seeds import generator
from dn_distributed.tasks import TASKS, ImageTask
from dn_distributed.tasks.coverage import coverage
from tests.dn_distributed.support import DataOf, make_task

every_task = pytest.mark.parametrize("name", TASKS)
image_task = pytest.mark.parametrize("name", [name for name, cls in TASKS.items() if cls.kind == "images"])


@every_task
def test_identity_makes_the_same_task_again(name: str) -> None:
    task = make_task(name)
    assert task.identity()["name"] == name
    assert make_task(**task.identity()) == task


@every_task
def test_an_unknown_option_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="colour"):
        make_task(name, colour="red")


@every_task
def test_another_tasks_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        TASKS[name](name="other")


@every_task
def test_regularised_layers_are_a_chain(few_data: DataOf, name: str) -> None:
    task = make_task(name)
    network = task.network()
    assert is_chain(network, task.layers)
    assert is_followed_chain(network, task.layers)
    assert is_shown_chain(network, few_data(task).for_seeds([1]).test.inputs[..., :2, :], task.layers)
    layers = [network.get_submodule(layer) for layer in task.layers]
    for before, after in itertools.pairwise(layers):
        if isinstance(before, torch.nn.Linear) and isinstance(after, torch.nn.Linear):
            assert before.out_features == after.in_features
        assert isinstance(before, torch.nn.Conv2d) or isinstance(after, torch.nn.Linear)


@every_task
def test_penalties_touch_regularised_layers_only(name: str) -> None:
    task = make_task(name)
    assert all(set(task.layers_of(penalty)) <= set(task.layers) for penalty in PENALTIES)


@every_task
def test_initialisation_follows_from_the_generator(name: str) -> None:
    task = make_task(name)
    one, other = task.network(), task.network()
    task.initialize(one, generator(3, "init"))
    task.initialize(other, generator(3, "init"))
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(first, second)


@every_task
def test_default_dataset_is_of_the_tasks_kind(name: str) -> None:
    of_kind = {"images": "mnist", "any": "mnist", "linear": "linear_scripted"}
    assert TASKS[name].default_dataset == of_kind[TASKS[name].kind]


@image_task
def test_of_a_small_dataset_a_fifth_is_held_out(digits: RawImages, name: str) -> None:
    data = make_task(name).data(Digits(), digits)
    splits = data.for_seeds([1])
    assert len(splits.validation.inputs) == 1437 // 5
    assert len(splits.train.inputs) == data.num_train == 1437 - 1437 // 5
    assert len(splits.test.inputs) == 360


@image_task
def test_the_first_training_images_are_held_out(digits: RawImages, name: str) -> None:
    task = make_task(name, validation_size=100)
    splits = task.data(Digits(), digits).for_seeds([1])
    assert isinstance(task, ImageTask)
    pixels = digits.train_images.float().view(1437, -1) / 255 + task.pixel_shift
    torch.testing.assert_close(splits.validation.inputs.flatten(1), pixels[:100])
    torch.testing.assert_close(splits.train.inputs.flatten(1), pixels[100:])


@image_task
def test_inputs_have_the_shape_that_the_network_takes(digits: RawImages, name: str) -> None:
    task = make_task(name)
    validation = task.data(Digits(), digits).for_seeds([1]).validation
    outputs = task.network().eval()(validation.inputs[:2])
    assert task.loss(outputs, validation.targets[:2]).isfinite()


@image_task
def test_an_empty_validation_set_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="validation_size"):
        make_task(name, validation_size=0)


@image_task
def test_raw_images_are_not_modified(digits: RawImages, name: str) -> None:
    before = digits.train_images.clone()
    make_task(name).data(Digits(), digits)
    assert torch.equal(digits.train_images, before)


@image_task
def test_images_are_the_same_for_all_seeds(digits: RawImages, name: str) -> None:
    data = make_task(name).data(Digits(), digits)
    assert data.for_seeds([1]) is data.for_seeds([2, 3])


def test_a_regression_is_made_anew_for_each_seed() -> None:
    data = make_task("regression").data(Scripted(), None)
    first, second = data.for_seeds([1, 2]).train.inputs
    assert data.num_train == 500
    assert not torch.equal(first, second)


def test_data_carry_the_digest_of_their_dataset(digits: RawImages) -> None:
    assert make_task("lenet300").data(Digits(), digits).digest == Digits().digest(digits)
    assert make_task("regression").data(Scripted(), None).digest == Scripted().digest(None)


def test_of_how_many_parameters_the_regularised_layers_are_is_said_where_not_of_all() -> None:
    assert coverage(make_task("lenet300")) is None
    assert coverage(make_task("lenet5", filters=True)) is None
    found = coverage(make_task("lenet5"))
    assert found is not None
    assert found.words == "of fc1, fc2: 96.9 % of all 1,663,370 parameters"
