"""What this project knows of MLflow that MLflow does not promise: a version that has changed it fails here, in words.

What each is for stands in ``tracking/store/mlflow_internals.py`` and ``tracking/server/mlflow_internals.py``.
"""

import inspect
import sqlite3
from contextlib import closing
from typing import Any

import mlflow
import pytest

from tests.internals import find
from tracking.server import mlflow_internals as server_internals
from tracking.store import mlflow_internals
from tracking.store.location import StoreLocation

_REMEDY = "change the mlflow_internals.py of tracking/store or tracking/server, or bound MLflow in pyproject.toml"
_REGISTRY = "mlflow.store.artifact.artifact_repository_registry:_artifact_repository_registry"
FUNCTIONS = {
    "mlflow.tracking.request_header.registry:_request_header_provider_registry.register": "request_header_provider",
    "mlflow.utils.credentials:get_default_host_creds": "store_uri",
    "mlflow.utils.rest_utils:http_request": "host_creds endpoint method",
    "mlflow.utils.rest_utils:verify_rest_response": "response endpoint",
    "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore": "db_uri default_artifact_root",
    "mlflow.server.security_utils:get_allowed_origins_from_env": "",
    "mlflow.server.handlers:_get_tracking_store": "",
    "mlflow.server.handlers:_get_proxied_run_artifact_destination_path": "proxied_artifact_root",
    f"{_REGISTRY}.get_artifact_repository": "artifact_uri",
    "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore.create_experiment": "self name artifact_location",
    "mlflow.store.model_registry.sqlalchemy_store:SqlAlchemyStore.create_model_version": "self name source",
    "mlflow.server.auth:create_app": "",
    "mlflow.server.auth:_authenticate_cached": "username password",
    "mlflow.server.auth:is_unprotected_route": "path",
    "mlflow.server.auth:validate_can_read_experiment": "",
    "mlflow.server.auth:_find_validator": "req",
    "mlflow.server.auth:bootstrap_admin_user": "",
}
"""Per function that is called, the parameters that it takes first."""
VALUES = (
    "mlflow.server:app",
    "mlflow.server.fastapi_app:app",
    "mlflow.server.auth:BEFORE_REQUEST_VALIDATORS",
    "mlflow.server.auth:auth_config",
    "mlflow.server.auth:store",
)
COLUMNS = {
    "experiments": {"experiment_id", "name", "artifact_location", "lifecycle_stage"},
    "runs": {"run_uuid", "experiment_id", "status", "start_time", "end_time", "artifact_uri", "lifecycle_stage"},
    "tags": {"run_uuid", "key", "value"},
    "params": {"run_uuid", "key", "value"},
    "metrics": {"run_uuid", "key", "value", "timestamp", "step", "is_nan"},
    "latest_metrics": {"run_uuid", "key", "value", "is_nan"},
}


@pytest.fixture(autouse=True)
def _login_of_a_server(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """MLflow's login opens its database when it is imported."""
    folder = tmp_path_factory.mktemp("login")
    config = (
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/login.db\nadmin_username = admin\n"
    )
    (folder / "login.ini").write_text(f"{config}admin_password = password of a test\n")
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(folder / "login.ini"))
    monkeypatch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "a secret of a test")


def found(place: str) -> Any:
    return find(place, f"MLflow {mlflow.__version__}", _REMEDY)


@pytest.mark.parametrize("place", FUNCTIONS)
def test_a_function_that_is_called_takes_what_it_took(place: str) -> None:
    parameters, expected = list(inspect.signature(found(place)).parameters), FUNCTIONS[place].split()
    changed = f"MLflow {mlflow.__version__}: {place} takes {parameters}, not {expected} first: {_REMEDY}"
    assert parameters[: len(expected)] == expected, changed


@pytest.mark.parametrize("place", VALUES)
def test_a_value_that_is_read_is_there(place: str) -> None:
    found(place)


def test_the_tables_have_the_columns_that_are_read(empty: StoreLocation) -> None:
    assert empty.database is not None
    with closing(sqlite3.connect(empty.database)) as connection:
        for table, columns in COLUMNS.items():
            there = {row[1] for row in connection.execute(f"pragma table_info({table})")}
            lacking = f"MLflow {mlflow.__version__}: its table {table} has no {sorted(columns - there)}"
            assert columns <= there, f"{lacking}: change tracking/store/statements.py and sqlite.py"


def test_a_login_is_sent_as_it_is_at_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking.request_header import registry

    providers = registry._request_header_provider_registry
    monkeypatch.setattr(providers, "_registry", list(providers._registry))  # put back afterwards
    login: list[mlflow_internals.Login | None] = [None]
    mlflow_internals.send_login(lambda: login[0])
    resolve: Any = registry.resolve_request_headers
    assert "Authorization" not in resolve()
    login[0] = ("a", "b")
    assert resolve()["Authorization"] == "Basic YTpi"


def test_mlflows_own_page_is_answered_by_the_function_that_is_moved() -> None:
    application = find("mlflow.server:app", f"MLflow {mlflow.__version__}", _REMEDY)
    (rule,) = (rule for rule in application.url_map.iter_rules() if str(rule) == "/")
    assert rule.endpoint == server_internals._PAGE, _REMEDY
