"""The page of the shipped results says what its rows say."""

import importlib.util
import re
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[1] / "docs" / "results"


@pytest.fixture(scope="module")
def page():  # type: ignore[no-untyped-def]
    """The module that makes the page: it lies beside the results, in no package."""
    spec = importlib.util.spec_from_file_location("results_page", RESULTS / "page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_its_text_and_rows_make(page) -> None:  # type: ignore[no-untyped-def]
    assert page.PAGE.read_text(encoding="utf-8") == page.render()


def test_every_folder_of_results_is_on_the_page(page) -> None:  # type: ignore[no-untyped-def]
    text = page.PAGE.read_text(encoding="utf-8")
    folders = {path.parent.name for path in RESULTS.glob("*/rows.json")}
    assert folders == set(re.findall(r"^\| \[([\w-]+)\]", text, re.MULTILINE))


def test_a_statement_that_the_rows_do_not_carry_fails(page) -> None:  # type: ignore[no-untyped-def]
    """The rows have fewer neurons with DropNeuron, shown, and no difference of weights: the opposite cannot be said."""
    found = page.results("paper-autoencoder")
    with_dn, without = "ℓ1+DN+P", "ℓ1+DO+P as scripted"
    assert found.less(with_dn, without, "neurons", 0).startswith("204 (95 % interval 193 to 214)")
    with pytest.raises(AssertionError):
        found.less(without, with_dn, "neurons", 0)
    with pytest.raises(AssertionError):
        found.not_shown(with_dn, without, "neurons")
    with pytest.raises(AssertionError):
        found.less(with_dn, without, "neurons", 0, holds=False)


def test_results_are_not_typed_into_the_text(page) -> None:  # type: ignore[no-untyped-def]
    """Beside expressions the text has numbers of settings, sizes, dates and versions; other fractions are results."""
    text = page.TEMPLATE.read_text(encoding="utf-8")
    typed = re.sub(r"\{[{%].*?[%}]\}|`[^`]*`|\]\([^)]*\)", "", text, flags=re.DOTALL)
    fractions = set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", typed))
    assert fractions <= page.SETTINGS, fractions - page.SETTINGS
