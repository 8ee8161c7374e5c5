"""Pages of sweeps as servers show them, of the store as it is when they are asked for; browser: ``tests/browser``."""

from pathlib import Path

import pytest
from flask import Flask

from tests.tracking.fabricated import Recorder, make_cell
from tests.tracking.stores import copy_of
from tracking.errors import NoSweepError, StoreError
from tracking.server import sweep_pages
from tracking.server.sweep_pages import SweepPages
from tracking.store.location import StoreLocation


@pytest.fixture(scope="module")
def recorder(empty: StoreLocation, tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    recorder = Recorder(copy_of(empty, tmp_path_factory.mktemp("of pages")), "a sweep/of two")
    cell = make_cell(l1=1.0)
    recorder.announce({"M": [cell]})
    recorder.finish(cell, 0)
    return recorder


@pytest.fixture
def pages(recorder: Recorder, tmp_path: Path) -> SweepPages:
    database = recorder.location.database
    assert database is not None
    return SweepPages(recorder.location, tmp_path, lambda: sweep_pages.state_of_file(database))


def made(pages: SweepPages, name: str | None = None) -> Path:
    page = pages.make(name)
    assert page is not None
    return page


def test_the_first_page_lists_the_sweeps_as_they_are(recorder: Recorder, pages: SweepPages) -> None:
    first = made(pages)
    text, when = first.read_text("utf-8"), first.stat().st_mtime_ns
    assert '<a href="./sweeps/a%20sweep%2Fof%20two">' in text
    assert f'href="mlflow#/experiments/{recorder.experiment_id}/runs?' in text
    assert made(pages).stat().st_mtime_ns == when  # nothing has changed
    Recorder(recorder.location, "another").announce({"M": [make_cell(l1=2.0)]})
    assert ">another</a>" in made(pages).read_text("utf-8")


def test_a_report_links_the_sweeps_and_its_runs_and_is_not_stored(recorder: Recorder, pages: SweepPages) -> None:
    text = made(pages, recorder.name).read_text("utf-8")
    assert '<a href="../">All sweeps</a>' in text
    (run,) = recorder.runs("replicate")
    assert f'href="../mlflow#/experiments/{recorder.experiment_id}/runs/{run.info.run_id}"' in text
    (report,) = recorder.runs("report")
    assert not recorder.artifact(report.info.run_id, "report").exists()


def test_what_is_no_sweep_has_no_page(pages: SweepPages) -> None:
    assert pages.make("none") is None


@pytest.mark.parametrize("name", ["a%00b", "a%0Ab", "%1B", "%7F"])
def test_a_name_with_control_characters_is_no_sweep(pages: SweepPages, name: str) -> None:
    application = Flask("a server")
    application.add_url_rule("/sweeps/<path:name>", "page", lambda name: sweep_pages._answer(pages, name))
    assert application.test_client().get(f"/sweeps/{name}").status_code == 404


def test_why_a_page_cannot_be_made_is_one_line(recorder: Recorder, pages: SweepPages) -> None:
    Recorder(recorder.location, "no sweep")
    with pytest.raises(StoreError, match=r"^the store does not know what this sweep compares: .*[^\n]$"):
        pages.make("no sweep")


def test_an_error_that_nobody_has_foreseen_is_told_to_the_log_alone(
    pages: SweepPages, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep_pages, "_MAKE", ("-c", "raise KeyError('a secret')"))
    with pytest.raises(StoreError, match=r"^the page cannot be made: the server's log says why$"):
        pages.make(None)
    assert "KeyError: 'a secret'" in capsys.readouterr().err


def test_an_experiment_that_is_no_sweep_is_not_found(recorder: Recorder, pages: SweepPages) -> None:
    Recorder(recorder.location, "no sweep either")
    with pytest.raises(NoSweepError):
        pages.make("no sweep either")


def test_a_server_without_a_store_of_its_own_is_left_as_it_is() -> None:
    application = Flask("a server")
    before = {str(rule) for rule in application.url_map.iter_rules()}
    sweep_pages.add_to(application, {})
    assert {str(rule) for rule in application.url_map.iter_rules()} == before
