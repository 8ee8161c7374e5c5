"""On a cluster, every node writes to the store and reads back, before its packs count on it: who cannot is named."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from sweeps.errors import ClusterError
from tracking.store import preflight
from tracking.store.location import StoreLocation

SECONDS = 120.0
"""A node that has not answered by then cannot be used: importing MLflow takes seconds, not minutes."""
_PAUSE = 5.0  # between two checks for nodes that have joined


class Preflight:
    """Checks each node once, those that are there at the start and those that join later, by a Ray task on it."""

    def __init__(self, location: StoreLocation, run_id: str, say: Callable[[str], None]) -> None:
        """``run_id``: what is written to. ``say``: gets a line for each node that joined and cannot use the store."""
        self._location, self._run_id, self._say = location, run_id, say
        self._known: set[str] = set()
        self._waiting: dict[Any, str] = {}
        self._last_check = 0.0

    def check(self) -> None:
        """ClusterError names each node that is there and cannot use the store, and why."""
        import ray

        self._start_on_new_nodes()
        answered, silent = ray.wait(list(self._waiting), num_returns=len(self._waiting), timeout=SECONDS)
        failed = [f"{self._waiting[task]}: no answer in {SECONDS:g} s" for task in silent]
        failed += self._failures(answered)
        self._waiting.clear()
        if failed:
            raise ClusterError(f"the store {self._location.shown} cannot be used from {'; '.join(failed)}")

    def check_new_nodes(self) -> None:
        """Check the nodes that have joined since; say which cannot use the store. Waits for none of them."""
        import ray

        if time.monotonic() - self._last_check < _PAUSE:
            return
        self._last_check = time.monotonic()
        self._start_on_new_nodes()
        if not self._waiting:
            return
        answered, _ = ray.wait(list(self._waiting), num_returns=len(self._waiting), timeout=0)
        for failure in self._failures(answered):
            self._say(f"a node has joined that cannot use the store {self._location.shown}: {failure}")
        for task in answered:
            del self._waiting[task]

    def _start_on_new_nodes(self) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        remote = ray.remote(num_cpus=0, max_retries=0)(preflight.check)
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            if not node["Alive"] or node["NodeID"] in self._known:
                continue
            self._known.add(node["NodeID"])
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            label = node["NodeManagerAddress"].replace(":", ".")
            task = remote.options(scheduling_strategy=there).remote(self._location, self._run_id, label)
            self._waiting[task] = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"

    def _failures(self, answered: Iterable[Any]) -> list[str]:
        import ray

        found = []
        for task in answered:
            try:
                ray.get(task)
            except Exception as error:  # whatever it is, this node cannot be used
                cause = getattr(error, "cause", None) or error
                found.append(f"{self._waiting[task]}: {str(cause).strip().splitlines()[-1]}")
        return found
