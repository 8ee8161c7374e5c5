"""Checkpoints of packs: files on the driver's machine, whose names say what must be in them.

Tune's own checkpoints need a folder that all nodes share. Here a worker hands its state to an actor on the driver's
node; where Ray was started for the sweep alone, on one machine, it writes the file itself.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

KEPT = 2
"""Checkpoints of a pack: where the last is damaged, the one before it will do."""
_SUFFIX = ".safetensors"


class DamagedCheckpointError(Exception):
    """A checkpoint does not hold what was written."""


class Checkpoints(Protocol):
    """Where packs keep their states. A pack's key begins with its cell's, then a dash."""

    def save(self, pack: str, step: int, state: bytes) -> None:
        """Keep the state of a pack after ``step`` steps."""

    def names(self, pack: str) -> Sequence[str]:
        """Return what there is of a pack, newest first, then of other packs of its cell: packs may be cut anew."""

    def read(self, name: str) -> bytes:
        """Return a state. DamagedCheckpointError where it is not what was saved, OSError where it is gone."""

    def remove(self, pack: str) -> None:
        """Forget a pack that has ended."""


@dataclass(frozen=True)
class CheckpointFolder:
    """Files ``PACK/STEP-DIGEST.safetensors`` of this machine."""

    folder: Path

    def save(self, pack: str, step: int, state: bytes) -> None:
        """Write a file that is there whole or not at all."""
        folder = self.folder / pack
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{os.getpid()}.partial"
        try:
            partial.write_bytes(state)
            partial.replace(folder / f"{step:012d}-{_digest(state)}{_SUFFIX}")
        finally:
            partial.unlink(missing_ok=True)
        for old in _newest_first(folder)[KEPT:]:
            old.unlink(missing_ok=True)

    def names(self, pack: str) -> Sequence[str]:
        """Return paths below the folder."""
        cell = pack.partition("-")[0]
        others = sorted(other for other in self.folder.glob(f"{cell}-*") if other.name != pack)
        files = [file for folder in (self.folder / pack, *others) for file in _newest_first(folder)]
        return [str(file.relative_to(self.folder)) for file in files]

    def read(self, name: str) -> bytes:
        """Read a file and compare it with the digest in its name."""
        state = (self.folder / name).read_bytes()
        if _digest(state) != Path(name).stem.partition("-")[2]:
            raise DamagedCheckpointError(f"checkpoint {name} is damaged")
        return state

    def remove(self, pack: str) -> None:
        """Delete the pack's folder."""
        shutil.rmtree(self.folder / pack, ignore_errors=True)


class RemoteCheckpoints:
    """A ``CheckpointFolder`` of the driver's node, used from any node of the cluster."""

    def __init__(self, folder: CheckpointFolder) -> None:
        """Start the actor that reads and writes the files. Ray must be connected, and this be the driver."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
        self._keeper = ray.remote(CheckpointFolder).options(**options).remote(folder.folder)

    def save(self, pack: str, step: int, state: bytes) -> None:
        """Hand the state to the driver's node, and return when it is written."""
        self._answer("save", pack, step, state)

    def names(self, pack: str) -> Sequence[str]:
        """Return what ``read`` takes."""
        return self._answer("names", pack)  # type: ignore[no-any-return]

    def read(self, name: str) -> bytes:
        """Fetch a state."""
        return self._answer("read", name)  # type: ignore[no-any-return]

    def remove(self, pack: str) -> None:
        """Have the driver's node delete what it has of the pack; nobody waits for it."""
        self._ask("remove", pack)

    def _ask(self, method: str, *arguments: Any) -> Any:
        return getattr(self._keeper, method).remote(*arguments)

    def _answer(self, method: str, *arguments: Any) -> Any:
        import ray
        from ray.exceptions import RayTaskError

        try:
            return ray.get(self._ask(method, *arguments))
        except RayTaskError as error:  # its text is a page: what went wrong in the actor, as it was
            raise error.cause from error


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{_SUFFIX}"), reverse=True)


def _digest(state: bytes) -> str:
    return hashlib.sha256(state).hexdigest()[:32]
