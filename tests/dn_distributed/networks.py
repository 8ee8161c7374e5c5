"""Every kind of network that a device is tried with, and a rate of dropout that goes with it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from dn_distributed.tasks import TASKS, Task
from tests.dn_distributed.own_models import BatchNormResNet, GroupNormResNet
from tests.dn_distributed.support import make_task

MakeTask = Callable[[], Task]

NETWORKS: list[Any] = [
    *(pytest.param(partial(make_task, name), 0.5, id=name) for name in TASKS),
    (GroupNormResNet, 0.0),
    (BatchNormResNet, 0.0),
]
