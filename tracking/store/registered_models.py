"""Smaller networks in MLflow's model registry, as ONNX: loaded by ``mlflow.pyfunc`` and served without any pickle."""

import contextlib
import importlib.metadata
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from numpy.typing import NDArray

from tracking import schema
from tracking.store import artifacts
from tracking.store.sweep_store import SweepStore


def record(sweep: SweepStore, run_id: str, folder: Path, files: Iterable[str], metrics: Mapping[str, float]) -> None:
    """Give a replicate's run the ``files`` of the folder of its smaller network, and what was measured of it."""
    with tempfile.TemporaryDirectory(prefix="dn-") as copied:
        for name in files:
            shutil.copyfile(folder / name, Path(copied) / name)
        artifacts.add_folder(sweep.client, run_id, Path(copied), schema.COMPACT_FOLDER)
    now = int(time.time() * 1000)
    sweep.client.log_batch(run_id, metrics=[Metric(name, float(value), now, 0) for name, value in metrics.items()])


def registered(sweep: SweepStore, run_id: str, name: str, tags: Mapping[str, str]) -> str | None:
    """Return the newest version of the registered model ``name`` that is of this run and has all these tags, if any."""
    found = [
        int(version.version)
        for version in sweep.client.search_model_versions(f"run_id = '{run_id}'")
        if version.name == name and tags.items() <= version.tags.items()
    ]
    if not found or not artifacts.has(sweep.location, run_id, f"{schema.COMPACT_MODEL}/MLmodel"):
        return None
    return str(max(found))


def register(
    sweep: SweepStore,
    run_id: str,
    model: Path,
    name: str,
    inputs: NDArray[np.generic],
    outputs: NDArray[np.generic],
    tags: Mapping[str, str],
) -> str:
    """Register an ONNX file, stored with a run, as a new version of the registered model ``name``; return the version.

    ``inputs`` and ``outputs``, a batch ``[B, ...]`` each, make its signature; the inputs are its example.
    """
    import mlflow.onnx
    import onnx

    with tempfile.TemporaryDirectory(prefix="dn-") as folder:
        packages: Any = [f"{package}=={importlib.metadata.version(package)}" for package in ("onnx", "onnxruntime")]
        mlflow.onnx.save_model(
            onnx.load(model),
            f"{folder}/model",
            signature=ModelSignature(_schema(inputs), _schema(outputs)),
            input_example=inputs,
            pip_requirements=packages,
            onnx_execution_providers=["CPUExecutionProvider"],
            save_as_external_data=False,
        )
        artifacts.add_folder(sweep.client, run_id, Path(folder, "model"), schema.COMPACT_MODEL)
    with contextlib.suppress(MlflowException):  # it is there already
        sweep.client.create_registered_model(name)
    source = f"runs:/{run_id}/{schema.COMPACT_MODEL}"
    return str(sweep.client.create_model_version(name, source, run_id, tags=dict(tags)).version)


def _schema(batch: NDArray[np.generic]) -> Schema:
    return Schema([TensorSpec(batch.dtype, (-1, *batch.shape[1:]))])


def model_name(text: str) -> str:
    """Return a text as the name of a registered model, which takes neither slash nor colon."""
    return re.sub(r"[/:]", "-", text)
