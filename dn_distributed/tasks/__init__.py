"""Tasks by name. To add one: a file beside these, and one entry in ``TASKS``."""

from dn_distributed.tasks.autoencoder import Autoencoder
from dn_distributed.tasks.base import ImageTask, LinearTask, Task
from dn_distributed.tasks.convnet import ConvNet
from dn_distributed.tasks.lenet5 import LeNet5
from dn_distributed.tasks.lenet300 import LeNet300
from dn_distributed.tasks.regression import Regression

__all__ = ["TASKS", "ImageTask", "LinearTask", "Task"]

TASKS: dict[str, type[Task]] = {
    "regression": Regression,
    "autoencoder": Autoencoder,
    "lenet300": LeNet300,
    "lenet5": LeNet5,
    "convnet": ConvNet,
}
