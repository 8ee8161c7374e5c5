"""One place for the artifacts of a server: MLflow lets whoever makes an experiment choose any folder of its machine.

Enforced below MLflow's handlers, where all of them, today's and tomorrow's, have to pass: no address is opened that
does not lie below the root, and none is taken from a client.
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, PERMISSION_DENIED
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from tracking.server import mlflow_internals

_OF_THIS_SERVER = "mlflow-artifacts"
_RESOLVED_BY_MLFLOW = (_OF_THIS_SERVER, "runs", "models")  # to what a run holds, which is checked when it is opened
_PROMPTS = ("prompt-template", "dummy-source")  # MLflow's own placeholders: prompts have no files


def restrict_to(root: str | None) -> None:
    """Let this process open artifacts below ``root`` alone (a path or an address; None: none at all)."""

    def must_lie_below(address: str, *_: object, **__: object) -> None:
        if root is None or not is_below(address, root):
            raise MlflowException(f"this server does not open artifacts at {address}", PERMISSION_DENIED)

    def must_be_ours(proxied_artifact_root: str, relative_path: str | None = None) -> None:
        scheme, host, path, *_ = urlsplit(proxied_artifact_root)
        if scheme != _OF_THIS_SERVER or host or ".." in unquote(path).split("/"):
            raise MlflowException(f"this server does not open artifacts at {proxied_artifact_root}", PERMISSION_DENIED)

    def must_not_be_chosen(_: object, name: str, artifact_location: str | None = None, tags: object = None) -> None:
        if artifact_location:
            raise MlflowException(
                "artifact_location: this server decides where artifacts go; leave it out", INVALID_PARAMETER_VALUE
            )

    def must_be_a_source(_: object, name: str, source: str | None, *__: object, **___: object) -> None:
        known = not source or source in _PROMPTS or urlsplit(source).scheme in _RESOLVED_BY_MLFLOW
        if not known and (root is None or not is_below(str(source), root)):
            raise MlflowException(f"source: this server does not open artifacts at {source}", INVALID_PARAMETER_VALUE)

    mlflow_internals.check_before(
        opening=must_lie_below,
        proxying=must_be_ours,
        creating_experiment=must_not_be_chosen,
        creating_model_version=must_be_a_source,
    )


def is_below(address: str, root: str) -> bool:
    """Return whether an address (a path, or a URI) is ``root`` or lies below it, symbolic links resolved."""
    folder, above = _folder(address), _folder(root)
    if folder is not None or above is not None:
        return folder is not None and above is not None and folder.is_relative_to(above)
    found, wanted = urlsplit(address), urlsplit(root)
    if (found.scheme, found.netloc, found.query, found.fragment) != (wanted.scheme, wanted.netloc, wanted.query, ""):
        return False
    parts, first = (unquote(path).strip("/").split("/") for path in (found.path, wanted.path))
    return ".." not in parts and (first == [""] or parts[: len(first)] == first)


def _folder(address: str) -> Path | None:
    """The path that an address of this machine names; None for others."""
    try:
        if not is_local_uri(address, is_tracking_or_registry_uri=False):  # type: ignore[no-untyped-call]
            return None
    except MlflowException:  # a file of another machine
        return None
    return Path(local_file_uri_to_path(address)).resolve()  # type: ignore[no-untyped-call]
