"""Tasks by name. To add one: a file beside these, and one entry in ``TASKS``; from elsewhere ``register_task``."""

from typing import TypeVar

from dn_distributed.errors import ArgumentError
from dn_distributed.registry import check_kind, literal_names, register
from dn_distributed.scores import Score
from dn_distributed.tasks.autoencoder import Autoencoder
from dn_distributed.tasks.base import ImageTask, LinearTask, Task
from dn_distributed.tasks.convnet import ConvNet
from dn_distributed.tasks.lenet5 import LeNet5
from dn_distributed.tasks.lenet5_caffe import LeNet5Caffe
from dn_distributed.tasks.lenet300 import LeNet300
from dn_distributed.tasks.network import Network
from dn_distributed.tasks.regression import Regression

__all__ = ["TASKS", "ImageTask", "LinearTask", "Task", "register_task"]

TASKS: dict[str, type[Task]] = {
    "regression": Regression,
    "autoencoder": Autoencoder,
    "lenet300": LeNet300,
    "lenet5": LeNet5,
    "lenet5_caffe": LeNet5Caffe,
    "convnet": ConvNet,
    "network": Network,
}

OwnTask = TypeVar("OwnTask", bound=Task)


def register_task(cls: type[OwnTask]) -> type[OwnTask]:
    """Make a task of your own a value of ``task`` in sweep files, and return it: a decorator.

    ArgumentError where its name is taken, or it is no whole task.
    """
    how_to_name = 'give it a name of its own, name: Literal["mine"] = "mine"'
    register(TASKS, Task, cls, literal_names(cls), how_to_name, _check)
    return cls


def _check(cls: type[Task]) -> None:
    """ArgumentError where a task measures nothing, or fits no dataset."""
    check_kind(cls)
    if not (isinstance(cls.scores, tuple) and cls.scores and all(isinstance(score, Score) for score in cls.scores)):
        raise ArgumentError(f"{cls.__name__}: scores are {cls.scores!r}: give a tuple of Score")
