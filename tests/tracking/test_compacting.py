"""From a replicate of a real store to a smaller network: files, proof, metrics, and a model that MLflow loads."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

import tracking
from dn_distributed import exporting
from dn_distributed.compaction import compact
from dn_distributed.data import DATASETS
from dn_distributed.errors import DropNeuronError, ExportError
from dn_distributed.exporting import bundle, costs, onnx_file
from dn_distributed.hardware import cpu_name
from dn_distributed.tasks import TASKS
from dn_distributed.weights_file import PICKLES
from sweeps.cli.main import main
from tests.tracking.fabricated import Recorder, make_cell
from tracking import compacting, schema
from tracking.compacting import Compacted, Options, compact_file, compact_replicate
from tracking.errors import StoreError
from tracking.portable.importing import import_file
from tracking.results.networks import find_network
from tracking.store import artifacts
from tracking.store.location import StoreLocation

pytest.importorskip("onnxscript")

DIGITS = DATASETS["digits"](name="digits")
LENET300 = TASKS["lenet300"](name="lenet300")
CELL = make_cell("lenet300", digest=DIGITS.digest(DIGITS.load(Path())), l1=1.0)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = costs.measure
    monkeypatch.setattr(costs, "measure", lambda *args, **options: genuine(*args, **options, seconds=0.01))


def record(recorder: Recorder, seed: int = 0) -> str:
    """A replicate with few weights left; its run."""
    recorder.finish(CELL, seed, label="ℓ1/DN:P", density=0.004)
    recorder.announce({"ℓ1/DN:P": [CELL]}, [seed])
    (row,) = recorder.read().rows
    return row.run_id


def compacted(recorder: Recorder, run_id: str, folder: Path, *, onnx: bool = True) -> Compacted:
    return compact_replicate(find_network(recorder.location, run_id), Path(), Options(folder, onnx=onnx), None)


def test_a_replicate_becomes_a_smaller_network_with_its_proof(recorder: Recorder, tmp_path: Path) -> None:
    run_id = record(recorder)
    done = compacted(recorder, run_id, tmp_path / "small")
    (row,) = recorder.read().rows
    assert done.dropped.weights_before == row.counts.num_weights
    inputs, *hidden, _ = [unit.alive for unit in row.counts.units]
    assert [layer.inputs for layer in done.dropped.layers] == [inputs, *hidden]
    assert done.proof.num_samples == 360
    assert done.proof.changed_predictions == 0
    loaded, pruned = exporting.load(tmp_path / "small"), tracking.load_network(row, recorder.location)
    images = torch.rand(5, 784)
    torch.testing.assert_close(loaded(images), pruned(images))
    metrics = row.metrics
    assert metrics[schema.compact_proof("max_rel_float64")] == done.proof.max_rel_float64 <= 1e-5
    assert metrics[schema.compact_proof("max_rel_onnx")] <= onnx_file.TOLERANCE
    assert metrics[schema.compact_cost("before", "num_weights")] == 266200
    assert metrics[schema.compact_cost("after", "num_weights")] == done.exported.after.num_weights
    assert {
        schema.compact_cost(which, f"latency_ms_batch_{size}{part}")
        for which in ("before", "after")
        for size in (1, 256)
        for part in ("", "/low", "/high")
    } <= metrics.keys()
    threads = {name: value for name, value in metrics.items() if name.endswith("/threads")}
    assert list(threads.values()) == [1.0] * 4
    assert row.processor == cpu_name()
    card = (tmp_path / "small/README.md").read_text(encoding="utf-8")
    assert f"| run | `{run_id}` |" in card
    assert f"| replicate | `{row.replicate_key}` |" in card


def test_the_model_is_registered_and_loads_by_pyfunc_without_pickles(recorder: Recorder, tmp_path: Path) -> None:
    import mlflow

    run_id = record(recorder)
    done = compacted(recorder, run_id, tmp_path / "small")
    name = f"{recorder.name} ℓ1-DN-P"
    assert done.model == f"{name}, version 1"
    version = recorder.store.get_model_version(name, "1")
    assert version.run_id == run_id
    assert version.tags[schema.REPLICATE_KEY] == CELL.replicate_key(0)
    mlflow.set_tracking_uri(recorder.location.for_mlflow)
    model = mlflow.pyfunc.load_model(f"models:/{name}/1")
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 784)
    example = model.metadata.load_input_example(mlflow.artifacts.download_artifacts(f"models:/{name}/1"))
    first = find_network(recorder.location, run_id).test_split(Path()).inputs[:8].numpy()
    np.testing.assert_allclose(example, first, rtol=1e-6)
    assert model.predict(example)["output"].shape == (8, 10)
    inputs = np.random.default_rng(0).random((3, 784), dtype=np.float32)
    expected = exporting.load(tmp_path / "small")(torch.from_numpy(inputs)).detach().numpy()
    np.testing.assert_allclose(model.predict(inputs)["output"], expected, rtol=1e-4, atol=1e-6)
    stored = recorder.artifact(run_id, schema.COMPACT_FOLDER)
    names = {path.name for path in stored.rglob("*") if path.is_file()}
    assert names >= bundle.FILES
    assert not any(path.suffix in (".pkl", ".pickle", ".pt", ".pth") for path in stored.rglob("*"))


def test_the_same_network_is_registered_once(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = record(recorder)
    first = compacted(recorder, run_id, tmp_path / "small").model
    assert first.endswith(", version 1")
    again = compacted(recorder, run_id, tmp_path / "small").model
    assert again == f"{first} (of before: the same network)"
    assert compact_replicate(find_network(recorder.location, run_id), Path(), Options(tmp_path / "s"), "x").model == (
        "x, version 1"
    )
    monkeypatch.setattr(compacting, "_digest", lambda _: "a" * 64)
    assert compacted(recorder, run_id, tmp_path / "small").model == first.replace("version 1", "version 2")


def test_a_new_version_leaves_the_files_of_the_one_before(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that was registered by its number gives the same outputs for ever."""
    import mlflow

    run_id = record(recorder)
    name = compacted(recorder, run_id, tmp_path / "small").model.partition(",")[0]
    mlflow.set_tracking_uri(recorder.location.for_mlflow)
    inputs = np.random.default_rng(0).random((3, 784), dtype=np.float32)
    first = mlflow.pyfunc.load_model(f"models:/{name}/1").predict(inputs)["output"]

    def louder(network: nn.Module, example: torch.Tensor) -> torch.fx.GraphModule:
        with torch.no_grad():
            network.get_parameter("fc3.bias").add_(1)
        return compact(network, example)

    monkeypatch.setattr(compacting, "compact", louder)
    assert compacted(recorder, run_id, tmp_path / "small").model == f"{name}, version 2"
    predict = [mlflow.pyfunc.load_model(f"models:/{name}/{version}").predict(inputs)["output"] for version in (1, 2)]
    np.testing.assert_array_equal(predict[0], first)
    np.testing.assert_allclose(predict[1], first + 1, rtol=1e-5)
    monkeypatch.undo()
    assert compacted(recorder, run_id, tmp_path / "small").model == f"{name}, version 1 (of before: the same network)"


def test_versions_whose_files_an_earlier_version_overwrote_are_not_taken_for_the_network(
    recorder: Recorder, tmp_path: Path
) -> None:
    run_id = record(recorder)
    name = compacted(recorder, run_id, tmp_path / "small").model.partition(",")[0]
    there = recorder.store.get_model_version(name, "1")
    again = {**there.tags, schema.NETWORK_SHA256: "b" * 64}
    recorder.store.create_model_version(name, str(there.source), run_id, tags=again)
    assert compacted(recorder, run_id, tmp_path / "small").model == f"{name}, version 3"


def refuse(*args: object, **options: object) -> None:
    raise MlflowException("the database is\nlocked", INTERNAL_ERROR)


@pytest.mark.parametrize(
    ("name", "broken", "said"),
    [
        ("", False, r"the model '' cannot be registered: .*"),
        ("mine", True, r"the model 'mine' cannot be registered: .*the database is locked"),
    ],
)
def test_nothing_is_written_where_the_registry_would_refuse(
    name: str, broken: bool, said: str, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = find_network(recorder.location, record(recorder))
    if broken:
        monkeypatch.setattr(MlflowClient, "get_registered_model", refuse)
    with pytest.raises(StoreError, match=said) as caught:
        compact_replicate(stored, Path(), Options(tmp_path / "small"), name)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    (row,) = recorder.read().rows
    assert not any(metric.startswith(schema.COMPACT_FOLDER) for metric in row.metrics)
    assert not artifacts.has(recorder.location, stored.run_id, schema.COMPACT_FOLDER)


def test_an_export_leaves_smaller_networks_out_and_says_so(
    recorder: Recorder, elsewhere: StoreLocation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = record(recorder)
    before = compacted(recorder, run_id, tmp_path / "small", onnx=False)
    file = tmp_path / "x.zip"
    assert main(["export", recorder.name, str(file), "--tracking-uri", recorder.location.uri]) == 0
    assert "smaller networks are left out (1): `dn compact` makes them again" in capsys.readouterr().out
    import_file(elsewhere, file)
    there = find_network(elsewhere, CELL.replicate_key(0))
    (row,) = Recorder(elsewhere, recorder.name).read().rows
    assert row.metrics[schema.compact_cost("after", "num_weights")] == before.exported.after.num_weights
    assert row.processor == cpu_name(), "by which latencies are known not to compare"
    assert not artifacts.has(elsewhere, there.run_id, schema.COMPACT_FOLDER)
    compact_replicate(there, Path(), Options(tmp_path / "again", onnx=False), None)
    for name in ("model.safetensors", "architecture.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "small" / name).read_bytes()


def test_a_store_behind_a_server_gets_the_same(recorder: Recorder, served: StoreLocation, tmp_path: Path) -> None:
    run_id = record(recorder)
    done = compact_replicate(find_network(served, run_id), Path(), Options(tmp_path / "small"), "a model: mine")
    assert done.model == "a model- mine, version 1"
    assert recorder.store.get_model_version("a model- mine", "1").run_id == run_id
    version = recorder.store.get_model_version("a model- mine", "1")
    folder = f"{schema.COMPACT_MODEL}/{version.tags[schema.NETWORK_SHA256][:16]}"
    assert version.source == f"runs:/{run_id}/{folder}"
    assert recorder.artifact(run_id, f"{folder}/model.onnx").is_file()
    (row,) = recorder.read().rows
    assert row.metrics[schema.compact_cost("before", "num_weights")] == 266200


def test_without_onnx_nothing_is_registered(recorder: Recorder, tmp_path: Path) -> None:
    done = compacted(recorder, record(recorder), tmp_path / "small", onnx=False)
    assert done.model == ""
    assert MlflowClient(recorder.location.for_mlflow).search_registered_models(f"name LIKE '{recorder.name}%'") == []
    (row,) = recorder.read().rows
    assert schema.compact_proof("max_rel_onnx") not in row.metrics


def test_nothing_is_written_and_logged_where_the_outputs_differ(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = record(recorder)

    def wrong(network: nn.Module, example: torch.Tensor) -> torch.fx.GraphModule:
        small = compact(network, example)
        with torch.no_grad():
            next(small.parameters()).add_(1)
        return small

    monkeypatch.setattr(compacting, "compact", wrong)
    with pytest.raises(DropNeuronError, match=r"outputs differ by .*: nothing is written"):
        compacted(recorder, run_id, tmp_path / "small")
    assert list(tmp_path.iterdir()) == []
    (row,) = recorder.read().rows
    assert not any(name.startswith(schema.COMPACT_FOLDER) for name in row.metrics)


@pytest.mark.parametrize("identifier", ["0123456789abcdef", "no-run", "feed" * 9])
def test_an_unknown_run_is_one_line_and_nothing_is_written(
    identifier: str, recorder: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(recorder)
    uri = ["--tracking-uri", recorder.location.uri]
    assert main(["compact", identifier, "--out", str(tmp_path / "small"), *uri]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(
        r"dn: .*(has no replicate whose run id or key begins|is neither a run's id nor).*\n", printed.err
    )
    assert list(tmp_path.iterdir()) == []


def test_a_regression_is_proven_on_the_data_of_its_seed(recorder: Recorder, tmp_path: Path) -> None:
    data = DATASETS["linear_scripted"](name="linear_scripted")
    cell = make_cell(digest=data.digest(None), l1=2.0)
    recorder.finish(cell, 3)
    recorder.announce({"M": [cell]}, [3])
    (row,) = recorder.read().rows
    done = compacted(recorder, row.run_id, tmp_path / "small", onnx=False)
    assert done.proof.changed_predictions is None
    assert done.proof.max_rel_float64 <= 1e-5


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    network = LENET300.network()
    nn.init.zeros_(network.get_parameter("fc1.weight")[:200].detach())
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_a_file_of_a_tasks_weights_becomes_a_smaller_network(weights: Path, tmp_path: Path) -> None:
    options = Options(tmp_path / "small", onnx=False)
    done = compact_file(weights, LENET300, DIGITS, 0.0, tmp_path, options)
    assert done.dropped.layers[0].outputs == 100
    card = (tmp_path / "small/README.md").read_text()
    assert "# lenet300 from w.safetensors" in card
    assert "| test data | `digits` |" in card
    assert "| task | `lenet300` |" in card


def test_a_file_with_masks_of_torchs_own_pruning_is_read(tmp_path: Path) -> None:
    network = LENET300.network()
    prune.ln_structured(network.get_submodule("fc1"), "weight", amount=200, n=1, dim=0)  # type: ignore[no-untyped-call]
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    options = Options(tmp_path / "small", onnx=False)
    assert (
        compact_file(tmp_path / "w.safetensors", LENET300, DIGITS, 0.0, tmp_path, options).dropped.layers[0].outputs
        == 100
    )
    save_file({**network.state_dict(), "fc1.weight_mask": torch.ones(300, 1)}, tmp_path / "w.safetensors")
    with pytest.raises(ExportError, match=r"w.safetensors: fc1.weight_mask is not of the shape of fc1.weight_orig"):
        compact_file(tmp_path / "w.safetensors", LENET300, DIGITS, 0.0, tmp_path, options)


@pytest.mark.parametrize("size", [640, 896, 19280])
def test_a_file_that_only_begins_as_a_pickle_is_read(weights: Path, tmp_path: Path, size: int) -> None:
    content = weights.read_bytes()
    length = int.from_bytes(content[:8], "little")
    weights.write_bytes(size.to_bytes(8, "little") + content[8 : 8 + length].ljust(size) + content[8 + length :])
    assert weights.read_bytes()[:2] in PICKLES
    done = compact_file(weights, LENET300, DIGITS, 0.0, tmp_path, Options(tmp_path / "small", onnx=False))
    assert done.proof.num_samples == 360


def save_pickle(path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), path)


def test_a_file_that_is_none_of_the_tasks_weights_is_one_line(weights: Path, tmp_path: Path) -> None:
    options = Options(tmp_path / "small", onnx=False)
    (tmp_path / "other").write_text("x")
    save_pickle(tmp_path / "w.pt")
    save_file({"fc1.weight": torch.ones(2, 2)}, tmp_path / "some.safetensors")
    for path, task, reason in (
        (tmp_path / "none", "lenet300", "none: no such file"),
        (tmp_path / "other", "lenet300", "not a safetensors file"),
        (tmp_path / "w.pt", "lenet300", "holds pickles, which are not read"),
        (tmp_path / "some.safetensors", "lenet300", "not the weights of the task 'lenet300': .*fc1.bias"),
        (weights, "lenet5", "not the weights of the task 'lenet5'"),
    ):
        with pytest.raises(ExportError, match=reason) as caught:
            compact_file(path, TASKS[task](name=task), DIGITS, None, tmp_path, options)
        assert "\n" not in str(caught.value)
    assert not options.folder.exists()


@pytest.mark.slow
def test_the_registered_model_is_served(recorder: Recorder, tmp_path: Path) -> None:
    run_id = record(recorder)
    name = compacted(recorder, run_id, tmp_path / "small").model.partition(",")[0]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = ["--model-uri", f"models:/{name}/1", "--port", str(port), "--host", "127.0.0.1", "--env-manager", "local"]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", *address],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": recorder.location.for_mlflow,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        inputs = np.random.default_rng(0).random((2, 784), dtype=np.float32)
        answer = json.loads(ask(f"http://127.0.0.1:{port}", server, json.dumps({"inputs": inputs.tolist()})))
        expected = exporting.load(tmp_path / "small")(torch.from_numpy(inputs)).detach().numpy()
        np.testing.assert_allclose(answer["predictions"]["output"], expected, rtol=1e-4, atol=1e-6)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def ask(address: str, server: "subprocess.Popen[bytes]", body: str) -> bytes:
    """What the model answers, once its server listens."""
    end = time.monotonic() + 200
    while True:
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=5):
                break
        except OSError:
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.5)
    request = urllib.request.Request(f"{address}/invocations", body.encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()
