"""Smaller networks in MLflow's model registry, as ONNX: loaded by ``mlflow.pyfunc`` and served without any pickle."""

import contextlib
import importlib.metadata
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Metric, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.types import Schema, TensorSpec
from numpy.typing import NDArray

from dn_distributed.text import one_line, quoted
from tracking import schema
from tracking.errors import StoreError
from tracking.store import artifacts
from tracking.store.run_writer import now
from tracking.store.sweep_store import SweepStore

_DIGITS = 16
"""Of a checksum, in the name of a folder."""


def record(
    sweep: SweepStore, run_id: str, folder: Path, files: Iterable[str], metrics: Mapping[str, float], processor: str
) -> None:
    """Give a replicate's run the ``files`` of the folder of its smaller network, and what was measured, and on what."""
    with tempfile.TemporaryDirectory(prefix="dn-") as copied:
        for name in files:
            shutil.copyfile(folder / name, Path(copied) / name)
        artifacts.add_folder(sweep.client, run_id, Path(copied), schema.COMPACT_FOLDER)
    moment = now()
    sweep.client.log_batch(
        run_id,
        metrics=[Metric(name, float(value), moment, 0) for name, value in metrics.items()],
        tags=[RunTag(schema.COMPACT_PROCESSOR, processor)],
    )


def check(sweep: SweepStore, name: str) -> None:
    """StoreError where the registry does not answer, or takes no model of this name."""
    try:
        sweep.client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise StoreError(f"the model {quoted(name)} cannot be registered: {one_line(str(error), 300)}") from error


def registered(sweep: SweepStore, run_id: str, name: str, tags: Mapping[str, str]) -> str | None:
    """Return the newest version of the registered model ``name`` that is of this run and has all these tags, if any.

    Left out are versions without files, and those in whose place another network has been written since, as earlier
    versions of this package did.
    """
    versions = list(sweep.client.search_model_versions(f"run_id = '{run_id}'"))
    others = {version.source for version in versions if not tags.items() <= version.tags.items()}
    found = [
        int(version.version)
        for version in versions
        if version.name == name
        and tags.items() <= version.tags.items()
        and version.source not in others
        and artifacts.has(sweep.location, run_id, f"{_place(version.source, run_id)}/MLmodel")
    ]
    return str(max(found)) if found else None


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

    ``inputs`` and ``outputs``, a batch ``[B, ...]`` each, make its signature; the inputs are its example. The files lie
    under the checksum of the network (among the ``tags``), so that no version takes the place of another.
    """
    import mlflow.onnx
    import onnx

    place = f"{schema.COMPACT_MODEL}/{tags[schema.NETWORK_SHA256][:_DIGITS]}"
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
        artifacts.add_folder(sweep.client, run_id, Path(folder, "model"), place)
    with contextlib.suppress(MlflowException):  # it is there already
        sweep.client.create_registered_model(name)
    return str(sweep.client.create_model_version(name, f"runs:/{run_id}/{place}", run_id, tags=dict(tags)).version)


def _place(source: str | None, run_id: str) -> str:
    """The folder of a run that a version's files lie in."""
    return (source or "").removeprefix(f"runs:/{run_id}/")


def _schema(batch: NDArray[np.generic]) -> Schema:
    return Schema([TensorSpec(batch.dtype, (-1, *batch.shape[1:]))])


def model_name(text: str) -> str:
    """Return a text as the name of a registered model, which takes neither slash nor colon."""
    return re.sub(r"[/:]", "-", text)
