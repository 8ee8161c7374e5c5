"""Charts that answer a hand, as Vega-Lite: values under the pointer, methods to hide, zoom, SVG and PNG to keep.

``draw`` makes those that apply; ``script`` is the JavaScript that a page shows them with, Vega and ours: it needs no
network.
"""

from collections.abc import Iterator

from tracking.charts import bars, curves, fronts, scatter
from tracking.charts.chart import Chart, as_json
from tracking.charts.library import script
from tracking.figures.values import FigureData
from tracking.tables.table import Table

__all__ = ["Chart", "as_json", "draw", "script"]


def draw(data: FigureData, table: Table) -> Iterator[Chart]:
    """Yield the charts that apply, each under the name of the figure that it stands for."""
    every = (
        bars.chart(data.manifest, table, data.methods),
        scatter.chart(data.manifest, data.methods),
        fronts.chart(data.manifest, data.methods, data.points()),
        curves.chart(data.manifest, data.methods, data.histories),
    )
    yield from filter(None, every)
