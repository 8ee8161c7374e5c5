"""How MLflow's UI shows a sweep: a saved view of its runs table, with the columns that methods are compared by.

Without one the table opens with no figure at all. A view is a tag of the experiment, as the UI's own "Save as new view"
writes it; a UI that knows no views leaves it alone.
"""

import base64
import json
import zlib
from urllib.parse import quote

from dn_distributed import score_names
from tracking import schema
from tracking.manifest import Manifest

KEY = "dn-methods"
TAG = f"mlflow.sharedViewState.{KEY}"
NAME = "Methods"
PAGE = "mlflow"
"""Where MLflow's own page is on the servers of ``dn ui`` and ``dn server``, whose first page lists the sweeps."""

SWEEPS = "sweeps"
"""Beside it, the folder of the reports that these servers make when they are asked for."""


def columns(manifest: Manifest) -> list[str]:
    """Return the metrics that the view shows."""
    score = score_names.final("test", manifest.score)
    return [score, schema.deviation(score), schema.COMPRESSION_RATE, schema.DENSITY, schema.NEURONS_ALIVE, "n"]


def tag(manifest: Manifest, now: int) -> str:
    """Return the value of the experiment's tag; ``now`` in milliseconds since 1970."""
    state = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,  # in the order of the sweep file
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [f"metrics.`{name}`" for name in columns(manifest)],
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    return json.dumps({"name": NAME, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"})


def sweep_link(name: str, home: str = "./") -> str:
    """Return the address of a sweep's report, as it is now, from a page whose way to the first page is ``home``."""
    return f"{home}{SWEEPS}/{quote(name, safe='')}"


def run_link(page: str, experiment_id: str, run_id: str) -> str:
    """Return the address at which the UI, whose page is at ``page``, opens a run."""
    return f"{page}#/experiments/{experiment_id}/runs/{run_id}"


def link(page: str, experiment_id: str) -> str:
    """Return the address at which the UI, whose page is at ``page``, opens a sweep in this view."""
    return f"{page}#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={KEY}"


def page_of(server: str) -> str:
    """Return the address of the UI's page on an MLflow server."""
    return f"{server.rstrip('/')}/"
