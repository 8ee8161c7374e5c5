"""A pack that does nothing, in a file that imports nothing but Ray Tune: a worker of it needs 110 MB, not 470."""

import time
from typing import Any

import ray
from ray import tune

PACK, SECONDS = "pack", "seconds"
"""What is told of it: its text, and for how long it does nothing."""


class EmptyPack(tune.Trainable):
    """Takes its time, and says where it ran."""

    def setup(self, config: dict[str, Any]) -> None:
        """Begin."""
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another one in the same process."""
        self._pack, self._seconds = new_config[PACK], new_config[SECONDS]
        return True

    def step(self) -> dict[str, Any]:
        """Say which pack it is, and where it ran."""
        time.sleep(self._seconds)
        return {"done": True, "pack": self._pack, "node": ray.get_runtime_context().get_node_id()}
