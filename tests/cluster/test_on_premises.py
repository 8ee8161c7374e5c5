"""``deploy/onprem.yaml`` on three hosts: up, submit, status from elsewhere, down. The table is that of one machine."""

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dn_distributed.data.digits import Digits
from tests.cluster.hosts import Hosts
from tests.cluster.marks import ON_HOSTS

ROOT = Path(__file__).parents[2]
SWEEP = """
name: small
task: lenet300
dataset: mnist
seeds: 3
training: {epochs: 6, batch_size: 64}
methods:
  - {label: P}
  - {label: ℓ1+DN+P, l1: 1e-5, dn: 5e-5}
resources: {pack: 1}
"""

# Of every replicate, the host that trained it.
WHERE = """
from tracking.store.location import locate
from tracking.store.sweep_store import SweepStore
sweep = SweepStore.find(locate(), "small")
print(*{run.tags["host"] for run in sweep.records("replicate", tags=["host"])})
"""

# Takes every processor of the head: else it has trained all before another host has begun.
FILL_HEAD = """
import ray
ray.init(address="auto", logging_level="ERROR")
(head,) = (node["Resources"] for node in ray.nodes() if "node:__internal_head__" in node["Resources"])
group = ray.util.placement_group([{"node:__internal_head__": 0.001, "CPU": head["CPU"]}], lifetime="detached")
assert group.wait(120)
"""

pytestmark = ON_HOSTS


def write_mnist(data_dir: Path) -> None:
    """Write the embedded digits in torchvision's layout of MNIST."""
    raw = Digits().load(data_dir)
    folder = data_dir / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for split, images, labels in (
        ("train", raw.train_images, raw.train_labels),
        ("t10k", raw.test_images, raw.test_labels),
    ):
        for name, values in ((f"{split}-images-idx3-ubyte", images), (f"{split}-labels-idx1-ubyte", labels)):
            header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
            (folder / name).write_bytes(header + values.byte().numpy().tobytes())


@pytest.fixture(scope="module")
def hosts(open_folder: Path) -> Iterator[Hosts]:
    with Hosts(open_folder, 3) as found:
        for name in found.names:
            # What a host has before `ray up`: Python with the packages, on the PATH of a shell that logs in.
            (found.home(name) / ".bashrc").write_text(f"export PATH={Path(sys.executable).parent}:$PATH\n")
            (found.home(name) / ".bash_profile").write_text(". ~/.bashrc\n")
        yield found


@pytest.fixture(scope="module")
def home(hosts: Hosts) -> Path:
    """The home of the user at the launcher, with the secrets."""
    home = hosts.folder / "user"
    (home / ".dropneuron").mkdir(parents=True, mode=0o700)
    for name in ("password", "ray-token"):
        (home / ".dropneuron" / name).write_text(secrets.token_hex(32))
        (home / ".dropneuron" / name).chmod(0o600)
    return home


@pytest.fixture(scope="module")
def cluster(hosts: Hosts, home: Path) -> Iterator["Cluster"]:
    """The shipped file with these hosts' addresses in it."""
    config = yaml.safe_load((ROOT / "deploy" / "onprem.yaml").read_text("utf-8"))
    head, *workers = (hosts.address(name) for name in hosts.names)
    config["provider"] |= {"head_ip": head, "worker_ips": workers}
    config["auth"] |= {"ssh_user": "root", "ssh_private_key": str(hosts.key)}
    path = hosts.folder / "onprem.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    found = Cluster(hosts, home, path)
    said = found.ray("up", "-y", str(path))
    assert said.returncode == 0, said.stdout[-4000:]
    yield found
    found.ray("down", "-y", str(path))


class Cluster:
    """A cluster, driven from the launcher."""

    def __init__(self, hosts: Hosts, home: Path, path: Path) -> None:
        self.hosts, self.home, self.path = hosts, home, path

    def ray(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of Ray's launcher from the project's folder."""
        program = str(Path(sys.executable).parent / "ray")
        process = self.hosts.launch([program, *words], ROOT, {"RAY_UP_enable_autoscaler_v2": "0"}, self.home)
        output, _ = process.communicate(timeout=600)
        return subprocess.CompletedProcess(words, process.returncode, output)

    def submit(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """``ray submit`` as the documents have it."""
        return self.ray("submit", str(self.path), str(ROOT / "sweeps" / "run.py"), *words)


def test_a_sweep_submitted_to_the_cluster_gives_the_table_of_one_machine(
    cluster: Cluster, hosts: Hosts, tmp_path: Path
) -> None:
    write_mnist(hosts.home("h0") / "data")  # of the driver's host alone: the others have it of Ray
    write_mnist(tmp_path / "data")
    (hosts.home("h0") / "small.yaml").write_text(SWEEP, encoding="utf-8")
    (hosts.home("h0") / "fill.py").write_text(FILL_HEAD)
    filled = hosts.on("h0", "until ray status 2>/dev/null | grep -q '3 local'; do sleep 1; done; python fill.py")
    assert filled.returncode == 0, filled.stderr
    said = cluster.submit("small.yaml", "--report", "report", "--data-dir", "data")
    assert said.returncode == 0, said.stdout[-4000:]
    (tmp_path / "small.yaml").write_text(SWEEP, encoding="utf-8")
    alone = subprocess.run(
        [sys.executable, "-m", "sweeps.cli", "sweep", "small.yaml", "--report", "report", "--data-dir", "data"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert alone.returncode == 0, alone.stderr
    ours, theirs = (folder / "report" / "small" / "table.csv" for folder in (hosts.home("h0"), tmp_path))
    assert ours.read_text() == theirs.read_text()


def test_hosts_without_the_data_have_trained_on_them(cluster: Cluster, hosts: Hosts) -> None:
    (hosts.home("h0") / "where.py").write_text(WHERE)
    said = hosts.on("h0", f"DN_TRACKING_URI=http://{hosts.address('h0')}:5000 python where.py")
    trained = set(said.stdout.split())
    assert trained, said.stderr
    assert trained <= {"h1", "h2"}
    for name in ("h1", "h2"):
        assert hosts.on(name, "find / -xdev -name '*-ubyte*' -path \"$HOME/*\"").stdout == ""


def test_every_node_has_written_to_the_store_before(cluster: Cluster, hosts: Hosts) -> None:
    said = hosts.on("h1", f"DN_TRACKING_URI=http://{hosts.address('h0')}:5000 dn status small")  # no driver's host
    assert "small: 6 of 6 done" in said.stdout, said.stdout + said.stderr
    proofs = {path.name for path in hosts.home("h0").glob("dn-server/artifacts/**/preflight/*.txt")}
    assert proofs == {f"{hosts.address(name)}.txt" for name in hosts.names}


def test_a_node_has_of_the_project_what_git_does_not_ignore(cluster: Cluster, hosts: Hosts) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    assert listed.returncode == 0, listed.stderr
    ours = {line.split("/")[0].strip('"') for line in listed.stdout.splitlines()}
    theirs = set(hosts.on("h1", "ls -A ~/dropneuron").stdout.split())
    assert {"sweeps", "deploy", "pyproject.toml"} <= theirs <= ours | {"__pycache__"}


def test_nothing_is_answered_without_the_secrets(cluster: Cluster, hosts: Hosts) -> None:
    store = f"http://{hosts.address('h0')}:5000/api/2.0/mlflow/experiments/search?max_results=1"
    code = hosts.on("h1", f"curl --silent --output /dev/null --write-out '%{{http_code}}' '{store}'").stdout
    assert code == "401"
    script = f"import ray; ray.init(address='{hosts.address('h0')}:6379', logging_level='ERROR')"
    said = hosts.on("h1", f'env -u RAY_AUTH_TOKEN_PATH RAY_AUTH_MODE=disabled timeout 120 python -c "{script}"')
    assert said.returncode not in (0, 124)
    assert not re.search(r"(?i)connected to ray cluster", said.stdout + said.stderr)


def test_a_node_that_cannot_use_the_store_is_named_before_anything_runs(cluster: Cluster, hosts: Hosts) -> None:
    password = hosts.home("h2") / ".dropneuron" / "password"
    right = password.read_text()
    password.write_text("another password")
    try:
        (hosts.home("h0") / "refused.yaml").write_text(SWEEP.replace("small", "refused"), encoding="utf-8")
        said = cluster.submit("refused.yaml", "--data-dir", "data")
        assert said.returncode != 0
        address = hosts.address("h2")
        assert re.search(
            rf"cannot be used from h2 \({re.escape(address)}\): .*refuses the name or the password", said.stdout
        )
        assert "from h1" not in said.stdout
        assert "refused: 0 of 6 done" in hosts.on("h0", "dn status refused").stdout
    finally:
        password.write_text(right)


def test_no_secret_is_left_anywhere_but_where_it_was_put(cluster: Cluster, hosts: Hosts) -> None:
    for name in hosts.names:
        command = "grep --recursive --files-with-matches --text --fixed-strings --file {} ~ /tmp/ray"
        for secret in ("password", "ray-token"):
            found = hosts.on(name, command.format(f"~/.dropneuron/{secret}")).stdout.split()
            kept = re.compile(r"/\.dropneuron/|/dn-server/secrets/")
            assert [path for path in found if not kept.search(path)] == []
