"""Tasks and a dataset that break what runs them, or watch it. A module of its own: workers import it."""

import errno
import os
import sys
import time
from pathlib import Path
from typing import Literal

import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE
from torch import nn

from dn_distributed.data import DATASETS, RawImages
from dn_distributed.data.digits import Digits
from dn_distributed.tasks import TASKS
from dn_distributed.tasks.regression import Regression


class Hungry(Regression):
    """There is memory for ``most`` replicates of it, and for no more."""

    name: Literal["hungry"] = "hungry"  # type: ignore[assignment]
    most: int

    def network(self) -> nn.Module:
        """A stack begins with this."""
        _drawn.clear()
        return super().network()

    def initialize(self, network: nn.Module, draw: torch.Generator) -> None:
        """Called once for each replicate of a stack."""
        _drawn.append(draw.initial_seed())
        if len(_drawn) > self.most and _in_worker():
            raise MemoryError("no memory for another replicate")
        super().initialize(network, draw)


_drawn: list[int] = []


def _in_worker() -> bool:
    """Only there they break: the driver rehearses them."""
    return sys.argv[0].endswith("default_worker.py")


class Deadly(Regression):
    """Kills its worker, as the kernel would, as often as ``lives`` says; ``folder`` counts."""

    name: Literal["deadly"] = "deadly"  # type: ignore[assignment]
    lives: int
    folder: str

    def initialize(self, network: nn.Module, draw: torch.Generator) -> None:
        """Die, or begin."""
        used = len(list(Path(self.folder).iterdir()))
        if used < self.lives and _in_worker():
            (Path(self.folder) / str(used)).touch()
            self.die()
        super().initialize(network, draw)

    def die(self) -> None:
        """What happens instead of the beginning."""
        os._exit(1)


class Waiting(Deadly):
    """Its store is away, as often as ``lives`` says."""

    name: Literal["waiting"] = "waiting"  # type: ignore[assignment]

    def die(self) -> None:
        """What happens instead of the beginning."""
        raise MlflowException("database is locked", TEMPORARILY_UNAVAILABLE)


class Refused(Deadly):
    """Its store refuses what is written, as often as ``lives`` says."""

    name: Literal["refused"] = "refused"  # type: ignore[assignment]

    def die(self) -> None:
        """What happens instead of the beginning."""
        raise MlflowException("no such run", RESOURCE_DOES_NOT_EXIST)


class Lacking(Deadly):
    """Cannot read a file of its own."""

    name: Literal["lacking"] = "lacking"  # type: ignore[assignment]

    def die(self) -> None:
        """What happens instead of the beginning."""
        raise FileNotFoundError(errno.ENOENT, "No such file", "features.npy")


class Meeting(Regression):
    """Begins once ``num`` packs are there at the same time; each writes into ``folder`` which GPUs it may use.

    It meets where its network is made, which is before anything is put on a GPU.
    """

    name: Literal["meeting"] = "meeting"  # type: ignore[assignment]
    num: int
    folder: str

    def network(self) -> nn.Module:
        """Say where this is, and wait for the others."""
        folder = Path(self.folder)
        if _in_worker():
            (folder / str(os.getpid())).write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
            deadline = time.monotonic() + 120
            while len(list(folder.iterdir())) < self.num:
                if time.monotonic() > deadline:
                    raise TimeoutError("the others did not come")
                time.sleep(0.05)
        return super().network()


class Seldom(Digits):
    """Leaves a file in ``folder`` each time that it is read."""

    name: Literal["seldom"] = "seldom"  # type: ignore[assignment]
    folder: str

    def load(self, data_dir: Path) -> RawImages:
        """Say that somebody reads."""
        (Path(self.folder) / f"{os.getpid()}-{time.monotonic_ns()}").touch()
        return super().load(data_dir)


TASKS.update(hungry=Hungry, deadly=Deadly, waiting=Waiting, refused=Refused, lacking=Lacking, meeting=Meeting)
DATASETS.update(seldom=Seldom)
