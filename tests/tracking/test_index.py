"""One page over all sweeps of a store."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from dn_distributed.sparsity import LayerCount, NetworkCounts, UnitCount
from tests.tracking.fabricated import Recorder, make_cell, make_manifest, make_row
from tracking import report
from tracking.errors import StoreError
from tracking.report import index, small_multiples
from tracking.report.index import Listed
from tracking.report.page import Served
from tracking.report.small_multiples import Measured
from tracking.results import cells
from tracking.results.rows import Row, Snapshot
from tracking.store.location import StoreLocation
from tracking.tables import columns


@pytest.fixture(scope="module")
def page(location: StoreLocation, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two sweeps, of which one has a report, and an experiment that is no sweep."""
    first, second = Recorder(location, "index-first"), Recorder(location, "index-second")
    one, two = make_cell(l1=1.0), make_cell(l1=2.0)
    first.finish(one, 0, 1, label="<b>M")
    first.announce({"<b>M": [one], "absent": [two]})
    second.finish(two, 0, 1)
    second.announce({"M": [two]})
    Recorder(location, "index-other")
    out = tmp_path_factory.mktemp("index")
    (out / "index-first").mkdir()
    (out / "index-first" / report.PAGE).write_text("")
    return report.write_index(location, out).read_text(encoding="utf-8")


def line(page: str, *words: str) -> str:
    (found,) = (row for row in page.partition("</tbody>")[0].split("<tr>") if all(word in row for word in words))
    return found


def test_each_method_of_each_sweep_has_a_line(page: str) -> None:
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    names = re.findall(r'<th scope="row">(?:<a [^>]*>)?(index-\w+)', body)
    assert sorted(names) == ["index-first", "index-first", "index-second"]
    assert "index-other" not in page
    assert "<b>M" not in page
    assert 'data-value="2">2<' in line(page, "index-second")
    assert "↓&nbsp;nmse" in line(page, "index-second")


def test_a_sweep_links_the_report_that_lies_beside_the_page(page: str) -> None:
    assert '<a href="index-first/report.html">index-first</a>' in page
    assert 'href="index-second' not in page


def test_a_method_links_its_run_where_a_ui_is_known(location: StoreLocation, page: str, tmp_path: Path) -> None:
    served = Served("./", "./mlflow")
    found = report.write_index(location, tmp_path, served=served).read_text(encoding="utf-8")
    recorder = Recorder(location, "index-second")
    (cell,) = recorder.runs("cell")
    link = f"./mlflow#/experiments/{recorder.experiment_id}/runs/{cell.info.run_id}"
    assert f'<td class="text"><a href="{link}">M</a></td>' in line(found, "index-second")
    assert '<td class="text">absent</td>' in found
    assert '<td class="text">M</td>' in line(page, "index-second")


def test_what_is_missing_has_nothing_to_be_sorted_by(page: str) -> None:
    absent = line(page, "index-first", ">absent<")
    assert "0 of 2" in absent
    assert absent.count("—") == len(index._HEADINGS)
    assert absent.count("data-value") == 1


def test_the_page_stands_alone(page: str) -> None:
    assert not re.search(r"https?://|\bsrc=|<link|url\(", page)
    assert "default-src 'none'" in page
    assert page.count("<script>") == 1


def test_each_sweep_has_a_picture_that_says_what_it_shows(page: str) -> None:
    pictures = re.findall(r'<figure data-sweep="([^"]+)">(.*?)</figure>', page, re.DOTALL)
    assert sorted(name for name, _ in pictures if name.startswith("index-")) == ["index-first", "index-second"]
    first = dict(pictures)["index-first"]
    assert first.count("<path d=") == 2  # of one method, and beside its name below; "absent" has no figures
    (text,) = re.findall(r"<desc[^>]*>(.*?)</desc>", first)
    assert re.fullmatch(r"&lt;b&gt;M: nmse [\d.]+, [\d.]+ % of the weights left", text)


MANIFEST = make_manifest({"A": [make_cell(l1=1.0)], "B": [make_cell(dn=1.0)], "C": [make_cell(l1=1.0, dn=1.0)]})


def test_a_dense_size_lies_within_the_interval_below_it() -> None:
    """Both are of the geometric mean: the size of one seed, a hundred thousand times the others', decides neither."""
    cell = make_cell(l1=1.0)

    def row(seed: int, inputs: int, outputs: int) -> Row:
        units = (UnitCount("input", 1000, inputs, inputs), UnitCount("fc1", 1000, outputs, outputs))
        counts = NetworkCounts((LayerCount("fc1", (1000, 1000), 10**6, 10),), units)
        return replace(make_row(cell, seed), counts=counts)

    rows = (*(row(seed, 5, 2) for seed in range(4)), row(4, 1000, 1000))
    manifest = make_manifest({"A": [cell]}, seeds=range(5))
    ((_, figures),) = index._lines(Listed(manifest, cells.gather(manifest, Snapshot(rows, ()))))
    size = figures[index._COLUMNS.index(columns.DENSE_SIZE)]
    low, high = map(float, size.more.split(" to "))
    assert size.value is not None
    assert low < size.value < high
    assert size.text == "100 of 1000000"  # the fifth root of 10⁴ · 10⁶


def measured(label: str, score: float, left: float) -> Measured:
    return Measured(label, score, left, f"{score:g}", f"{100 * left:g}")


def test_marks_stand_by_score_and_weights_left_on_logarithmic_axes() -> None:
    found = small_multiples.scatter(
        MANIFEST, [measured("A", 0.01, 0.01), measured("B", 0.1, 0.1), measured("C", 1.0, 1.0)]
    )
    assert found is not None
    xs, ys = [mark.x for mark in found.marks], [mark.y for mark in found.marks]
    assert xs[2] - xs[1] == pytest.approx(xs[1] - xs[0]) != 0
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2]) != 0
    assert ys[0] > ys[2]  # a picture's y grows downwards
    assert (found.score, found.left) == ("0.01 to 1", "1 to 100")
    assert len({mark.color for mark in found.marks}) == len({mark.path for mark in found.marks}) == 3


def test_what_has_nothing_left_stands_at_the_edge_and_what_is_no_number_nowhere() -> None:
    shown = [measured("A", 0.5, 0.0), measured("B", 0.5, 0.5), measured("C", math.inf, 0.5)]
    found = small_multiples.scatter(MANIFEST, shown)
    assert found is not None
    assert [mark.label for mark in found.marks] == ["A", "B"]
    assert found.marks[0].y == found.marks[1].y
    assert small_multiples.scatter(MANIFEST, shown[2:]) is None


def test_a_folder_in_its_place_is_one_line(location: StoreLocation, tmp_path: Path) -> None:
    (tmp_path / index.INDEX).mkdir()
    with pytest.raises(StoreError, match=r"index\.html: "):
        report.write_index(location, tmp_path)
