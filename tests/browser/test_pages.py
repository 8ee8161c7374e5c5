"""A report and the page over all sweeps as people meet them: wide and narrow, light and dark, by keyboard, on paper.

With DN_SHOTS=FOLDER the pages are kept as pictures.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.shots import SCHEMES, WIDTHS, Scheme, shoot
from tests.browser.test_ui import CHROMIUM
from tracking import report
from tracking.report import index

RESULTS = Path(__file__).parents[2] / "docs" / "results"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: chromium)"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of the pages by name."""
    folder = tmp_path_factory.mktemp("pages")
    made = report.write_from_rows(RESULTS / "paper-regression-described" / report.ROWS, folder)
    return {"report": made.as_uri(), "index": (RESULTS / index.INDEX).as_uri()}


def opened(browser: Browser, address: str, width: int, scheme: Scheme = "light") -> Page:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    return page


@pytest.mark.parametrize("name", ["report", "index"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_can_be_read_by_everybody(
    browser: Browser, pages: dict[str, str], name: str, scheme: Scheme, width: int
) -> None:
    page = opened(browser, pages[name], width, scheme)
    if name == "report":
        page.locator(".chart svg").nth(1).wait_for()
    shoot(page, f"{name}-{width}-{scheme}")
    if name == "report":
        page.locator("#tradeoff").scroll_into_view_if_needed()
        shoot(page, f"chart-{width}-{scheme}")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    found = Axe().run(page).response["violations"]
    assert [(item["id"], [node["html"] for node in item["nodes"]]) for item in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.close()


def test_wide_tables_take_the_width_of_the_window(browser: Browser, pages: dict[str, str], tmp_path: Path) -> None:
    """The page over all sweeps has all its columns on a window of 1400, and the table of six methods both margins."""
    page = opened(browser, pages["index"], WIDTHS[0])
    assert page.evaluate("(e => e.scrollWidth <= e.clientWidth)(document.querySelector('.scroll'))")
    page.context.close()
    made = report.write_from_rows(RESULTS / "paper-lenet300" / report.ROWS, tmp_path)
    page = opened(browser, made.as_uri(), WIDTHS[0])
    box = page.locator(".scroll").first.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["width"] > 0.95 * WIDTHS[0]
    page.context.close()


def test_a_narrow_page_over_all_sweeps_has_the_score_in_sight(browser: Browser, pages: dict[str, str]) -> None:
    page = opened(browser, pages["index"], WIDTHS[1])
    ends = page.evaluate(
        "[document.querySelector('tbody tr').cells[4], document.querySelector('.scroll')]"
        ".map(e => e.getBoundingClientRect().right)"
    )
    assert ends[0] <= ends[1]
    expect(page.get_by_text("scroll the table sideways")).to_be_visible()
    page.context.close()


def with_charts(browser: Browser, address: str) -> Page:
    page = opened(browser, address, WIDTHS[0])
    page.locator(".chart svg").nth(1).wait_for()
    return page


def test_charts_stand_for_the_pictures_and_ask_for_nothing(browser: Browser, pages: dict[str, str]) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(pages["report"])
    expect(page.locator("#tradeoff .chart svg")).to_be_visible()
    expect(page.locator("#tradeoff img")).to_be_hidden()
    expect(page.locator("#neurons img")).to_be_visible()
    assert [address for address in asked if not address.startswith(("data:", "blob:"))] == [pages["report"]]
    assert said == []
    context.close()


def test_a_chart_says_whose_point_is_under_the_pointer(browser: Browser, pages: dict[str, str]) -> None:
    page = with_charts(browser, pages["report"])
    point = page.locator("#tradeoff .chart svg path[aria-label*='seed']").first
    point.scroll_into_view_if_needed()
    point.dispatch_event("mousemove", {"bubbles": True})
    point.dispatch_event("pointermove", {"bubbles": True})
    tip = page.locator("#vg-tooltip-element")
    expect(tip).to_contain_text("method")
    expect(tip).to_contain_text("seed")
    page.context.close()


def test_a_method_is_hidden_in_all_charts_at_once(browser: Browser, pages: dict[str, str]) -> None:
    page = with_charts(browser, pages["report"])
    marks = page.locator("#tradeoff .chart svg path[aria-label*='method: P;']")
    assert marks.count() > 0
    page.locator("#methods").get_by_label("P", exact=True).press("Space")
    expect(marks).to_have_count(0)
    expect(page.locator("#tradeoff").get_by_label("P", exact=True)).not_to_be_checked()
    page.context.close()


def test_a_chart_shows_another_quantity_and_is_kept_as_a_file(browser: Browser, pages: dict[str, str]) -> None:
    page = with_charts(browser, pages["report"])
    figure = page.locator("#methods")
    figure.get_by_label("Show").select_option("weights left (%)")
    expect(figure.locator("svg").get_by_text("weights left (%)")).to_be_visible()
    for kind, begin in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as download:
            figure.get_by_role("button", name=kind).click()
        assert download.value.suggested_filename == f"paper-regression-described-methods.{kind.lower()}"
        assert Path(download.value.path()).read_bytes().startswith(begin)
    page.context.close()


def axes_of(name: str) -> str:
    """What the axes of a chart say, and where, as JavaScript."""
    labels = f"document.querySelectorAll('#{name} .chart svg .role-axis-label text')"
    return f"[...{labels}].map(each => each.textContent + each.getAttribute('transform')).sort().join()"


@pytest.mark.parametrize("name", ["methods", "tradeoff"])
def test_a_chart_is_moved_and_zoomed_by_keyboard(browser: Browser, pages: dict[str, str], name: str) -> None:
    page = with_charts(browser, pages["report"])
    figure, axes = page.locator(f"#{name}"), axes_of(name)
    chart, first = figure.get_by_role("group", name=re.compile("the arrows move it")), page.evaluate(axes)
    figure.get_by_role("button", name="Save").last.focus()
    for _ in range(50):  # past the methods
        page.keyboard.press("Tab")
        if chart.evaluate("each => each === document.activeElement"):
            break
    expect(chart).to_be_focused()
    assert chart.evaluate("each => getComputedStyle(each).outlineStyle") == "solid"
    place = page.evaluate("scrollY")
    for key in ("+", "ArrowRight", *(["ArrowDown"] if name == "tradeoff" else [])):
        before = page.evaluate(axes)
        page.keyboard.press(key)
        page.wait_for_function(f"was => {axes} !== was", arg=before)
    assert page.evaluate("scrollY") == place
    page.keyboard.press("0")
    page.wait_for_function(f"was => {axes} === was", arg=first)
    for zoom in ("Zoom in", "Zoom out"):
        figure.get_by_role("button", name=zoom).press("Enter")
        page.wait_for_function(f"was => {axes} !== was", arg=first)
        figure.get_by_role("button", name="First view").press("Space")
        page.wait_for_function(f"was => {axes} === was", arg=first)
    page.context.close()


def test_without_scripts_a_report_has_its_pictures(browser: Browser, pages: dict[str, str]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["report"])
    expect(page.locator("#tradeoff img")).to_be_visible()
    expect(page.locator("#methods")).to_be_hidden()
    context.close()


def test_the_index_is_filtered_and_sorted(browser: Browser, pages: dict[str, str]) -> None:
    page = opened(browser, pages["index"], WIDTHS[0])
    shown = page.locator("tbody tr:visible")
    total = shown.count()
    page.get_by_label("Filter by words").fill("paper-lenet5 dn")
    expect(page.get_by_role("status")).to_have_text(re.compile(f"of {total} lines"))
    assert 0 < shown.count() < total
    assert page.locator("figure:visible").count() == 1
    page.get_by_label("Filter by words").fill("")
    weights = page.get_by_role("columnheader", name="weights left (%)")
    for turned in (False, True):
        weights.get_by_role("button").press("Enter")
        values = page.evaluate("[...document.querySelectorAll('tbody tr')].map(row => row.cells[5].dataset.value)")
        numbers = [float(value) for value in values if value is not None]
        assert numbers == sorted(numbers, reverse=turned)
        assert values[len(numbers) :] == [None] * (len(values) - len(numbers))  # what is missing comes last
    expect(weights).to_have_attribute("aria-sort", "descending")
    page.context.close()


def test_the_index_is_a_table_without_scripts(browser: Browser, pages: dict[str, str]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["index"])
    expect(page.get_by_role("columnheader", name="weights left (%)")).to_be_visible()
    expect(page.get_by_label("Filter by words")).to_be_hidden()
    context.close()


def test_what_is_folded_is_printed(browser: Browser, pages: dict[str, str]) -> None:
    page = opened(browser, pages["report"], WIDTHS[0], "dark")
    folded = page.locator("details table").first
    expect(folded).to_be_hidden()
    page.emulate_media(media="print")
    expect(folded).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.context.close()


def test_focus_is_seen(browser: Browser, pages: dict[str, str]) -> None:
    page = opened(browser, pages["report"], WIDTHS[0])
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.context.close()
