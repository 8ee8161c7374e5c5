"""How MLflow's UI shows a sweep: a saved view of its runs, with the columns and charts that methods are compared by.

Without one the table opens with no figure at all. A view is a tag of the experiment, as the UI's own "Save as new view"
writes it; a UI that knows no views leaves it alone.
"""

import base64
import json
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
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


_LONGEST = 5000
"""Characters that MLflow takes as a tag of an experiment."""
_OWN_COLUMNS = ("attributes.`Run Name`", "runDateAndNestInfo", "duration")
"""What the UI calls its own columns before those of metrics."""
_WIDTHS = {schema.ROUNDED_WEIGHTS: 170, "n": 60}
_WIDTH, _WIDTH_OF_PATH = 125, 230
_CHARTS, _CURVES = "Methods", "Training"
_MOST_RUNS = 100  # of a chart
_LINE = {
    "lineSmoothness": 0,
    "xAxisScaleType": "linear",
    "scaleType": "linear",
    "range": {},
    "xAxisKey": "step",
    "selectedXAxisMetricKey": "",
    "yAxisKey": "metric",
    "yAxisExpressions": [],
    "ignoreOutliers": False,
    "useGlobalXaxisKey": True,
    "useGlobalLineSmoothing": True,
}


def columns(manifest: Manifest) -> list[str]:
    """Return the metrics that the view shows: the rounded ones, then those that they are of."""
    rounded, full = schema.ROUNDED_SCORE, score_names.final("test", manifest.score)
    return [
        *(rounded, schema.deviation(rounded), schema.ROUNDED_WEIGHTS, schema.ROUNDED_NEURONS, "n"),
        *(full, schema.deviation(full), schema.COMPRESSION_RATE, schema.DENSITY, schema.NEURONS_ALIVE),
    ]


def tag(manifest: Manifest, now: int, measured: Collection[str] = ()) -> str:
    """Return the value of the experiment's tag; ``now`` in milliseconds since 1970.

    ``measured``: the metrics that cells have; the deviations among them get no chart, as far as the tag holds them.
    """
    made = _pack(manifest, now, measured, sorted(name for name in measured if name.endswith(schema.deviation(""))))
    return made if len(made) <= _LONGEST else _pack(manifest, now, measured, [])


def _pack(manifest: Manifest, now: int, measured: Collection[str], without_chart: Sequence[str]) -> str:
    shown = columns(manifest)
    widths = {name: _WIDTHS.get(name, _WIDTH_OF_PATH if "/after" in name else _WIDTH) for name in shown}
    state = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,  # in the order of the sweep file
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [_column(name) for name in shown],
        "columnOrder": [*_OWN_COLUMNS, *map(_column, shown)],
        "columnWidths": {_column(name): width for name, width in widths.items()},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,  # else the UI sorts its own sections of charts before these
        "compareRunSections": [_section(_CHARTS), _section(_CURVES)],
        "compareRunCharts": [
            *_charts(manifest, measured),
            *({"type": "BAR", "uuid": name, "metricKey": name, "deleted": True} for name in without_chart),
        ],
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    return json.dumps({"name": NAME, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"})


def _column(metric: str) -> str:
    return f"metrics.`{metric}`"


def _section(name: str) -> dict[str, Any]:
    return {"uuid": f"dn-{name}", "name": name, "display": True, "isReordered": True}


def _charts(manifest: Manifest, measured: Collection[str]) -> Iterator[Mapping[str, Any]]:
    """Bars of score, weights and neurons, the score over each of the two, and the curves of training."""
    is_rounded = not measured or schema.ROUNDED_SCORE in measured  # not of an earlier version
    score, weights, neurons = (
        (schema.ROUNDED_SCORE, schema.ROUNDED_WEIGHTS, schema.ROUNDED_NEURONS)
        if is_rounded
        else (score_names.final("test", manifest.score), schema.DENSITY, schema.NEURONS_ALIVE)
    )
    for metric in (score, weights, neurons):
        yield _chart("BAR", _CHARTS, metric, metricKey=metric, runsCountToCompare=_MOST_RUNS)
    for metric in (weights, neurons):
        axes = {"xaxis": {"key": metric, "type": "METRIC"}, "yaxis": {"key": score, "type": "METRIC"}}
        yield _chart("SCATTER", _CHARTS, f"{score} over {metric}", **axes, runsCountToCompare=_MOST_RUNS)
    for metric in (
        *(score_names.of_split("validation", name) for name in dict.fromkeys((manifest.score, "loss"))),
        "train/loss",
        schema.NUM_NONZERO,
    ):
        yield _chart("LINE", _CURVES, metric, metricKey=metric, **_LINE)


def _chart(kind: str, section: str, name: str, **options: Any) -> dict[str, Any]:
    of_all = {"type": kind, "uuid": f"dn-{kind}-{name}", "metricSectionId": f"dn-{section}", "displayName": name}
    return {**of_all, "deleted": False, "isGenerated": False, **options}


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
