"""Near-empty packs on many nodes with logical GPUs, all on this machine: is each pack run, and once?

``python -m benchmarks.nodes 1 10 100`` prints a line for each number of nodes. A node is a raylet of its own with one
logical CPU and one logical GPU, as Ray's own tests simulate them.
"""

import argparse
import logging
import os
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweeps import ray_settings

os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
_PATIENCE = {  # hundreds of processes begin on a few cores
    "RAY_memory_monitor_refresh_ms": "0",  # what nodes leave idle may be swapped out
    "RAY_worker_niceness": "0",
    "REPORTER_UPDATE_INTERVAL_MS": "3600000",  # each node looks at all processes of the machine
    "RAY_worker_register_timeout_seconds": "1800",
    "RAY_agent_register_timeout_ms": "1800000",
    "RAY_raylet_start_wait_time_s": "600",
    "RAY_health_check_timeout_ms": "600000",
    "RAY_health_check_initial_delay_ms": "600000",
}
for _name, _value in _PATIENCE.items():
    os.environ.setdefault(_name, _value)
ray_settings.apply()  # before Ray is imported

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402
from ray.job_config import JobConfig  # noqa: E402

from benchmarks.empty_pack import PACK, SECONDS, EmptyPack  # noqa: E402
from benchmarks.growth import cell_of_packs  # noqa: E402
from sweeps.cluster.ray_internals import only_what_runs_packs, workers_alike  # noqa: E402
from sweeps.planning.plan import Pack  # noqa: E402
from sweeps.tune.search import pack_list  # noqa: E402

_STORE = 80 * 2**20  # bytes of a node's object store: Ray takes no less
_WARMING = 0.1  # share of the packs during which workers start


class _Ends(tune.Callback):
    """Counts how often each pack has ended, and on which nodes."""

    def __init__(self) -> None:
        self.packs, self.nodes = Counter[str](), Counter[str]()
        self.times: list[float] = []

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.packs[trial.last_result["pack"]] += 1
        self.nodes[trial.last_result["node"]] += 1
        self.times.append(time.perf_counter())


def measure(num_nodes: int, num_packs: int, seconds: float) -> str:
    """Return a line of the table: nodes, packs that ended, those that ran twice, nodes at work, seconds a pack."""
    with only_what_runs_packs(JobConfig()), workers_alike():
        ends = _run_on(num_nodes, num_packs, seconds)
    first = int(_WARMING * num_packs)
    each = (ends.times[-1] - ends.times[first]) / (len(ends.times) - first)
    twice = sum(count > 1 for count in ends.packs.values())
    return f"| {num_nodes} | {len(ends.packs)} of {num_packs} | {twice} | {len(ends.nodes)} | {each:.3f} |"


def _run_on(num_nodes: int, num_packs: int, seconds: float) -> _Ends:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **_node()})
    try:
        for _ in range(num_nodes):
            cluster.add_node(num_cpus=1, num_gpus=1, **_node())
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        return _run(num_packs, seconds)
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]


def _node() -> dict[str, Any]:
    return {"object_store_memory": _STORE, "include_dashboard": False}


def _run(num_packs: int, seconds: float) -> _Ends:
    ends, cell = _Ends(), cell_of_packs()
    packs: Sequence[Pack] = [Pack("P", cell, (seed,)) for seed in range(num_packs)]
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            tune.with_resources(EmptyPack, {"cpu": 1, "gpu": 1}),
            param_space={PACK: "", SECONDS: seconds},
            tune_config=tune.TuneConfig(num_samples=num_packs, search_alg=pack_list(packs), reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=str(Path(folder)),
                verbose=0,
                callbacks=[ends],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    return ends


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nodes", description="Packs on simulated nodes.")
    parser.add_argument("nodes", nargs="+", type=int, help="Numbers of nodes.")
    parser.add_argument("--packs", type=int, default=2000, help="Packs that are run on each. Default: 2000.")
    parser.add_argument("--seconds", type=float, default=0.0, help="How long a pack does nothing. Default: 0.")
    arguments = parser.parse_args()
    print("| nodes | packs ended | twice | nodes at work | s per pack |\n| --: | --: | --: | --: | --: |")
    for num_nodes in arguments.nodes:
        print(measure(num_nodes, arguments.packs, arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
