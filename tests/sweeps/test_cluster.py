"""What a cluster has room for, also where it grows from zero; and what ``ray submit`` runs."""

import os
import runpy
import socket
from pathlib import Path
from unittest import mock

import pytest
import yaml
from rich.console import Console

import sweeps
from sweeps import ray_settings
from sweeps.cli import main as cli
from sweeps.cluster import connection
from sweeps.cluster.connection import Capacity
from sweeps.errors import ClusterError
from sweeps.planning.data import load_data
from sweeps.spec import load as spec
from sweeps.tune.progress import Progress
from sweeps.tune.runner import Runner
from tests.tracking.stores import copy_of
from tracking.store.location import StoreLocation

RUN = Path(sweeps.__file__).parent / "run.py"


def ray_submit(arguments: list[str]) -> int:
    """What ``ray submit`` runs: a file by itself, which no one imports."""
    return int(runpy.run_path(str(RUN))["main"](arguments))


def test_as_many_packs_run_as_their_scarcest_resource_allows() -> None:
    capacity = Capacity(cpus=8, gpus=2, nodes=1, joined=False)
    assert capacity.slots(cpu=1, gpu=0) == 8
    assert capacity.slots(cpu=1, gpu=0.5) == 4


def test_a_pack_that_fits_nowhere_is_refused_with_the_remedy() -> None:
    with pytest.raises(ClusterError, match=r"lower resources.cpu or resources.gpu") as told:
        Capacity(cpus=2, gpus=0, nodes=1, joined=False).slots(cpu=1, gpu=1)
    assert "--slots" not in str(told.value)
    with pytest.raises(ClusterError, match=r"--slots N"):
        Capacity(cpus=2, gpus=0, nodes=1, joined=True).slots(cpu=1, gpu=1)


def test_the_user_knows_how_far_the_cluster_grows() -> None:
    assert Capacity(cpus=0, gpus=0, nodes=1, joined=True, slots_override=32).slots(cpu=1, gpu=0.25) == 32


def test_a_launched_cluster_counts_what_it_may_start(tmp_path: Path) -> None:
    path = tmp_path / "ray_bootstrap_config.yaml"
    config = {
        "max_workers": 3,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 2}, "max_workers": 0},
            "gpu": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 5},
        },
    }
    path.write_text(yaml.safe_dump(config))
    assert connection._resources_when_grown(path) == {"CPU": 26, "GPU": 3}


@pytest.mark.parametrize("text", [None, "", "a: [", "max_workers: many", "max_workers: 2\navailable_node_types: 1"])
def test_another_clusters_file_is_not_counted(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "ray_bootstrap_config.yaml"
    if text is not None:
        path.write_text(text)
    assert connection._resources_when_grown(path) == {}


def test_submit_runs_the_sweep_of_the_project_on_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = mock.Mock(return_value=7)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cli, "main", main)
    assert ray_submit(["sweeps/paper/lenet5.yaml", "--set", "seeds=2"]) == 7
    (words,) = main.call_args.args
    assert words[:3] == ["sweep", "--address", "auto"]
    assert Path(words[3]).is_absolute()
    assert Path(words[3]).is_file()
    assert words[4:] == ["--set", "seeds=2"]


def test_submit_prefers_a_file_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = mock.Mock(return_value=7)
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").touch()
    monkeypatch.setattr(cli, "main", main)
    ray_submit(["own.yaml", "--address", "10.0.0.1:6379"])
    main.assert_called_once_with(["sweep", "own.yaml", "--address", "10.0.0.1:6379"])


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_slots_are_a_positive_number(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sweep", "x.yaml", "--slots", value]) == 2
    assert "--slots" in capsys.readouterr().err


def test_an_embedded_store_is_refused_where_there_are_other_machines_or_may_be(
    empty: StoreLocation, tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text("name: s\ntask: regression\nmethods: [{label: P}]\n")
    location = copy_of(empty, tmp_path / "dn-store")
    sweep = spec.load(tmp_path / "s.yaml")
    runner = Runner(sweep, load_data(sweep, None), location)
    for capacity in (Capacity(8, 0, nodes=2, joined=True), Capacity(0, 0, nodes=1, joined=True, grows=True)):
        with pytest.raises(ClusterError, match="--tracking-uri http://HOST:PORT"):
            runner.run(runner.plan(), capacity, Progress(Console(quiet=True)))
    assert runner.plan().num_to_run == 1


def test_rays_token_is_made_once_and_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    ray_settings.apply()
    assert os.environ["RAY_AUTH_MODE"] == "token"  # without being asked for
    connection._ensure_token()
    token = tmp_path / ".ray" / "auth_token"
    first = token.read_text()
    assert len(first) == 64
    token.chmod(0o644)  # as Ray itself leaves it
    connection._ensure_token()
    assert (token.read_text(), token.stat().st_mode & 0o777) == (first, 0o600)


@pytest.mark.parametrize(("gpus", "asked", "told"), [(4, 0, True), (4, 0.25, False), (0, 0, False)])
def test_gpus_that_a_sweep_leaves_idle_are_told(gpus: float, asked: float, told: bool) -> None:
    advice = Capacity(cpus=8, gpus=gpus, nodes=1, joined=True).advice(asked)
    assert (advice is not None) == told
    assert advice is None or advice.startswith("there are 4 GPUs and this sweep asks for none")


def test_an_address_where_nothing_listens_is_told_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"no Ray cluster at {address}: .*refused"), connection.connect(address):
            pass


def test_an_address_without_a_port_is_told() -> None:
    told = pytest.raises(ClusterError, match="no Ray cluster at nowhere: give HOST:PORT or auto")
    with told, connection.connect("nowhere"):
        pass
