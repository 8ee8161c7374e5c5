"""What a cluster has room for, also where it grows from zero; and what ``ray submit`` runs."""

from pathlib import Path

import pytest
import yaml

from sweeps import cli, cluster, run
from sweeps.cluster import Capacity, ClusterError


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
    assert Capacity(cpus=0, gpus=0, nodes=1, joined=True, given_slots=32).slots(cpu=1, gpu=0.25) == 32


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
    assert cluster._when_grown(path) == {"CPU": 26, "GPU": 3}


@pytest.mark.parametrize("text", [None, "", "a: [", "max_workers: many", "max_workers: 2\navailable_node_types: 1"])
def test_another_clusters_file_is_not_counted(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "ray_bootstrap_config.yaml"
    if text is not None:
        path.write_text(text)
    assert cluster._when_grown(path) == {}


def test_submit_runs_the_sweep_of_the_project_on_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cli, "main", lambda words: called.append(list(words)) or 7)
    assert run.main(["sweeps/paper/lenet5.yaml", "--set", "seeds=2"]) == 7
    (words,) = called
    assert words[:3] == ["sweep", "--address", "auto"]
    assert Path(words[3]).is_absolute()
    assert Path(words[3]).is_file()
    assert words[4:] == ["--set", "seeds=2"]


def test_submit_prefers_a_file_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").touch()
    monkeypatch.setattr(cli, "main", lambda words: called.append(list(words)) or 0)
    run.main(["own.yaml", "--address", "10.0.0.1:6379"])
    assert called == [["sweep", "own.yaml", "--address", "10.0.0.1:6379"]]


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_slots_are_a_positive_number(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["sweep", "x.yaml", "--slots", value])
    assert "--slots" in capsys.readouterr().err
