"""The MLflow UI on a real sweep, as a person sees it. With DN_SHOTS=FOLDER the pages are kept as pictures."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.shots import SCHEMES, WIDTHS, Scheme, shoot
from tracking import schema
from tracking.store import location as store
from tracking.store.client import search
from tracking.store.sweep_store import SweepStore

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 120

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: chromium)"),
    pytest.mark.timeout(600),
]

SWEEP = """
name: seen
task: lenet300
dataset: digits
seeds: 2
training: {epochs: 4, batch_size: 64}
methods:
  - {label: P}
  - {label: ℓ1+P, l1: 1.0e-5}
  - {label: ℓ1+DN+P, l1: 1.0e-5, dn: 5.0e-5}
"""


@dataclass(frozen=True)
class Served:
    """A store that the UI serves."""

    address: str
    link: str
    """Of the sweep in MLflow's UI, as ``dn ui`` prints it."""
    experiment_id: str
    runs: dict[str, str]
    """Run ids of cells by label, of replicates as "LABEL seed N", and of the report."""
    means: dict[str, float]
    """Weights left of each cell in percent, by label."""

    def run(self, name: str, path: str = "") -> str:
        return f"{self.address}/#/experiments/{self.experiment_id}/runs/{self.runs[name]}{path}"

    def compare(self, *labels: str) -> str:
        """The page that sets methods side by side."""
        runs = quote(json.dumps([self.runs[label] for label in labels]))
        return f"{self.address}/mlflow#/compare-runs?runs={runs}&experiments={quote(json.dumps([self.experiment_id]))}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("ui")
    (folder / "seen.yaml").write_text(SWEEP, encoding="utf-8")
    dn = [sys.executable, "-m", "sweeps.cli"]
    subprocess.run([*dn, "sweep", "seen.yaml", "--report", "out"], cwd=folder, check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "log").open("w+") as log:
        server = subprocess.Popen([*dn, "ui", "--port", str(port)], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server)
            yield look(folder, f"http://127.0.0.1:{port}")
        finally:
            server.terminate()
            server.wait()


def wait_for(address: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.5)


def look(folder: Path, address: str) -> Served:
    location = store.locate(folder=folder / store.FOLDER)
    sweep = SweepStore.find(location, "seen")
    kinds: tuple[schema.Kind, ...] = ("cell", "replicate", "report")
    every = [search(sweep.client, sweep.experiment_id, {schema.KIND: kind}) for kind in kinds]
    found = {run.info.run_name: run.info.run_id for runs in every for run in runs}
    cells = search(sweep.client, sweep.experiment_id, {schema.KIND: "cell"})
    means = {cell.info.run_name: cell.data.metrics[schema.ROUNDED_WEIGHTS] for cell in cells}
    (link,) = re.findall(r"seen: (\S+)", (folder / "log").read_text())
    return Served(address, link, sweep.experiment_id, found, means)


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 700})
        page.set_default_timeout(SECONDS * 1000)
        expect.set_options(timeout=SECONDS * 1000)
        yield page
        browser.close()


def close_the_assistant(page: Page) -> None:
    """MLflow's own panel covers a quarter of the page on the first visit."""
    button = page.get_by_role("button", name="Close", exact=True)
    if button.count():
        button.first.click()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_page_lists_the_sweeps_and_leads_to_each(served: Served, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(served.address)
    expect(page.get_by_role("heading", name="All sweeps")).to_be_visible()
    page.get_by_role("link", name="seen", exact=True).first.click()
    expect(page).to_have_url(f"{served.address}/sweeps/seen")
    expect(page.get_by_role("heading", name="seen", exact=True)).to_be_visible()
    page.get_by_text("replicates behind the table").click()
    page.get_by_role("link", name=served.runs["P seed 0"]).click()
    expect(page.get_by_text("P seed 0", exact=True).first).to_be_visible()
    page.goto(f"{served.address}/sweeps/seen")
    page.get_by_role("link", name="All sweeps").click()
    page.get_by_role("link", name="seen in the UI").first.click()
    expect(page.get_by_role("link", name="ℓ1+DN+P", exact=True)).to_be_visible()


def test_a_click_on_a_seed_opens_its_run(served: Served, page: Page) -> None:
    page.goto(f"{served.address}/sweeps/seen")
    page.locator("#tradeoff .chart svg path[aria-label*='method: P;'][aria-label*='seed: 1']").dispatch_event("click")
    expect(page).to_have_url(re.compile(rf"/mlflow#/experiments/\d+/runs/{served.runs['P seed 1']}"))


def test_an_address_of_mlflow_at_the_root_leads_to_its_own_page(served: Served, page: Page) -> None:
    page.goto(f"{served.address}/#/experiments/{served.experiment_id}/runs/{served.runs['P']}")
    expect(page).to_have_url(re.compile(rf"^{served.address}/mlflow#/experiments/"))
    expect(page.get_by_text("compression_rate", exact=True).first).to_be_attached()


def test_the_table_opens_on_the_methods_with_their_means(served: Served, page: Page) -> None:
    page.goto(served.link)
    for label in ("P", "ℓ1+P", "ℓ1+DN+P", "report"):
        expect(page.get_by_role("link", name=label, exact=True)).to_be_visible()
    expect(page.get_by_role("link", name=re.compile(r" seed \d"))).to_have_count(0)  # no replicate; notes name seeds
    close_the_assistant(page)
    shown = ("Score", "Score/std", "Weights left in percent", "Neurons left", "n", "test/accuracy/after_pruning")
    heads = [page.get_by_role("columnheader", name=column, exact=True).first for column in shown]
    for head in heads:
        expect(head).to_be_visible()
    places = [head.evaluate("head => head.getBoundingClientRect().x") for head in heads]
    assert places == sorted(places)
    assert len(set(served.means.values())) == 3
    for mean in served.means.values():
        expect(page.get_by_text(f"{mean:g}", exact=True).first).to_be_visible()


def test_the_view_has_charts_of_what_methods_are_compared_by(served: Served, page: Page) -> None:
    page.set_viewport_size({"width": 1400, "height": 3000})  # all charts: those out of sight are not drawn
    page.goto(f"{served.link}&compareRunsMode=CHART")
    charts = page.get_by_test_id("experiment-view-compare-runs-card")
    titles = ["Score", "Weights left in percent", "Neurons left", "Weights left in percent vs. Score"]
    titles += ["Neurons left vs. Score", "validation/accuracy", "validation/loss", "train/loss", "num_nonzero"]
    for place, title in enumerate(titles):
        expect(charts.nth(place)).to_contain_text(title)
        expect(charts.nth(place).locator(".js-plotly-plot")).to_be_visible()
    expect(charts.nth(len(titles))).to_contain_text("compression_rate")  # MLflow's own charts follow
    expect(page.get_by_role("main")).to_contain_text(re.compile(r"layers/fc1\s*\(1\)"))  # its mean alone
    expect(page.get_by_text("/std")).to_have_count(0)
    shoot(page, "ui-charts-1400-light")


@pytest.mark.parametrize("width", WIDTHS)
def test_mlflow_s_own_list_opens_a_sweep_on_its_methods(served: Served, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{served.address}/mlflow#/experiments")
    page.get_by_role("link", name="seen", exact=True).click(position={"x": 3, "y": 5})  # of a narrow column
    expect(page).to_have_url(re.compile(r"/runs\?workflowType=machine_learning&viewStateShareKey=dn-methods"))
    expect(page.get_by_role("link", name="ℓ1+DN+P", exact=True)).to_be_visible()
    page.goto(f"{served.address}/mlflow#/experiments/0")  # no sweep: it has no such view
    expect(page).to_have_url(re.compile(r"/experiments/0/runs\?workflowType=machine_learning(?!.*viewStateShareKey)"))
    expect(page.locator("[class*=notification-notice-error]")).to_have_count(0)


@pytest.mark.parametrize("where", ["sweep", "method"])
def test_from_mlflow_links_lead_back_to_the_sweep(served: Served, page: Page, where: str) -> None:
    page.goto(served.link if where == "sweep" else served.run("P"))
    close_the_assistant(page)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="This sweep, as it is now").click()
    expect(opened.value).to_have_url(f"{served.address}/sweeps/seen")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="all sweeps", exact=True).click()
    expect(opened.value.get_by_role("heading", name="All sweeps")).to_be_visible()


def test_mlflow_shows_no_error_over_what_is_closed(served: Served, page: Page) -> None:
    with page.expect_response(re.compile("/gateway-proxy")) as asked:
        page.goto(served.link)
    assert asked.value.status == 200
    expect(page.get_by_role("link", name="ℓ1+DN+P", exact=True)).to_be_visible()
    expect(page.locator("[class*=notification-notice-error]")).to_have_count(0)


def test_a_method_opens_on_its_replicates(served: Served, page: Page) -> None:
    page.goto(served.link)
    close_the_assistant(page)
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="ℓ1+DN+P", exact=True))
    row.locator("[class*=expander], [data-testid*=expander], button, svg").first.click()
    for seed in (0, 1):
        expect(page.get_by_role("link", name=f"ℓ1+DN+P seed {seed}", exact=True)).to_be_visible()


def test_a_replicate_describes_itself(served: Served, page: Page) -> None:
    page.goto(served.run("ℓ1+DN+P seed 0"))
    expect(
        page.get_by_text(re.compile(r"ℓ1\+DN\+P, seed 0 \(.*\)\. On test data after pruning: accuracy")).first
    ).to_be_visible()


def test_methods_are_compared_side_by_side(served: Served, page: Page) -> None:
    page.goto(served.compare("P", "ℓ1+P", "ℓ1+DN+P"))
    for label in ("P", "ℓ1+P", "ℓ1+DN+P"):
        expect(page.get_by_text(label, exact=True).first).to_be_visible()
    expect(page.get_by_text("compression_rate", exact=True).first).to_be_attached()


def test_a_replicate_shows_its_sparsity_pattern(served: Served, page: Page) -> None:
    page.goto(served.run("ℓ1+DN+P seed 0", "/artifacts/sparsity/fc1.png"))
    picture = page.locator("img[src*='fc1'], img[src^=blob], img[src^=data]").first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 100


def test_the_report_opens_from_its_run(served: Served, page: Page) -> None:
    page.goto(served.run("report", "/artifacts/report/report.html"))
    frame = page.frame_locator("iframe").first
    expect(frame.get_by_role("heading", name=re.compile("seen")).first).to_be_visible()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_pages_of_the_ui_can_be_seen_in_any_width_and_scheme(
    served: Served, page: Page, width: int, scheme: Scheme
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    dark = str(scheme == "dark").lower()
    page.add_init_script(f"localStorage.setItem('_mlflow_dark_mode_toggle_enabled', '{dark}')")  # MLflow's own switch
    page.goto(served.address)
    expect(page.get_by_role("heading", name="All sweeps")).to_be_visible()
    shoot(page, f"ui-sweeps-{width}-{scheme}")
    page.goto(served.link)
    expect(page.get_by_role("link", name="ℓ1+DN+P", exact=True)).to_be_visible()
    close_the_assistant(page)
    shoot(page, f"ui-runs-{width}-{scheme}")
    page.goto(served.compare("P", "ℓ1+P", "ℓ1+DN+P"))
    expect(page.get_by_text("ℓ1+DN+P", exact=True).first).to_be_visible()
    close_the_assistant(page)
    shoot(page, f"ui-compare-{width}-{scheme}")
