"""Before a sweep starts on a cluster, every node writes to the store and reads back: who cannot is named."""

from typing import Any

from sweeps.cluster import ClusterError
from tracking import preflight
from tracking.store import StoreLocation

SECONDS = 120.0
"""A node that has not answered by then cannot be used: importing MLflow takes seconds, not minutes."""


def check(location: StoreLocation, run_id: str) -> None:
    """ClusterError names each node that cannot write to ``run_id`` in the store, and why."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(num_cpus=0, max_retries=0)(preflight.check)
    asked: dict[Any, str] = {}
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["Alive"]:
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            label = node["NodeManagerAddress"].replace(":", ".")
            asked[remote.options(scheduling_strategy=there).remote(location, run_id, label)] = name
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=SECONDS)
    failed = [f"{asked[task]}: no answer in {SECONDS:g} s" for task in silent]
    for task in answered:
        try:
            ray.get(task)
        except Exception as error:  # whatever it is, this node cannot be used
            cause = getattr(error, "cause", None) or error
            failed.append(f"{asked[task]}: {str(cause).strip().splitlines()[-1]}")
    if failed:
        raise ClusterError(f"the store {location.uri} cannot be used from {'; '.join(failed)}")
