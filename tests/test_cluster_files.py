"""The cluster files are what Ray's own launcher takes, hold no secret, and leave no door open."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start as ray_start

ROOT = Path(__file__).parents[1]
AWS, ON_PREMISES, RAYJOB = ROOT / "cluster.yaml", ROOT / "deploy" / "onprem.yaml", ROOT / "deploy" / "rayjob.yaml"
LAUNCHER = pytest.mark.parametrize("path", [AWS, ON_PREMISES], ids=lambda path: path.name)


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found


@LAUNCHER
def test_ray_takes_the_file(path: Path) -> None:
    whole = prepare_config(load(path))  # as `ray up` does
    validate_config(whole)
    assert whole["head_node_type"] in whole["available_node_types"]


def test_gpu_workers_start_from_zero_and_end_when_idle() -> None:
    config = load(AWS)
    kinds = config["available_node_types"]
    workers = {name: kind for name, kind in kinds.items() if name != config["head_node_type"]}
    assert workers
    assert all(kind["min_workers"] == 0 for kind in workers.values())
    assert kinds[config["head_node_type"]]["resources"] == {"CPU": 0, "GPU": 0}
    assert config["idle_timeout_minutes"] <= 15


@LAUNCHER
def test_every_ray_command_is_one_that_ray_knows(path: Path) -> None:
    config = load(path)
    commands = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    starts = [found[1] for command in commands if (found := re.search(r"ray start (.*)", command))]
    assert len(starts) == 2
    for words in starts:
        filled = re.sub(r"\$\([^)]*\)|\$\w+", "10.0.0.1", words).split()
        ray_start.make_context("ray start", filled, resilient_parsing=False)


@LAUNCHER
def test_nodes_ask_for_rays_token(path: Path) -> None:
    setup = load(path)["setup_commands"]
    assert any("deploy/node.sh" in command for command in setup)
    assert "RAY_AUTH_MODE=token" in (ROOT / "deploy" / "node.sh").read_text("utf-8")


@pytest.mark.parametrize("path", [AWS, ON_PREMISES, RAYJOB], ids=lambda path: path.name)
def test_no_secret_stands_in_a_file(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"[0-9a-f]{16,}", text)
    assert not re.search(r"://[^/\s@]*:[^/\s@]*@", text)


@pytest.mark.parametrize("name", ["node.sh", "head.sh"])
def test_shell_files_are_shell(name: str) -> None:
    assert subprocess.run(["bash", "-n", ROOT / "deploy" / name], check=False).returncode == 0


def test_the_job_runs_a_sweep_that_is_there_on_workers_that_start_from_zero() -> None:
    job = load(RAYJOB)["spec"]
    cluster = job["rayClusterSpec"]
    (path,) = re.findall(r"sweeps/\S+\.yaml", job["entrypoint"])
    assert (ROOT / path).is_file()
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (group,) = cluster["workerGroupSpecs"]
    assert (group["replicas"], group["minReplicas"]) == (0, 0)
    for spec in (cluster["headGroupSpec"], group):
        words = [f"--{name}={value}" for name, value in spec["rayStartParams"].items()]
        ray_start.make_context("ray start", words, resilient_parsing=False)
        (container,) = spec["template"]["spec"]["containers"]
        (password,) = [item for item in container["env"] if item["name"] == "MLFLOW_TRACKING_PASSWORD"]
        assert password["valueFrom"]["secretKeyRef"] == {"name": "dropneuron", "key": "password"}


def test_every_file_names_the_same_ray() -> None:
    versions = {load(RAYJOB)["spec"]["rayClusterSpec"]["rayVersion"]}
    for path in (AWS, ROOT / "deploy" / "Dockerfile.ray"):
        versions |= set(re.findall(r"rayproject/ray:([\d.]+)-", path.read_text("utf-8")))
    assert len(versions) == 1
