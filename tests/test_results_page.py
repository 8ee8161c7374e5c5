"""The page of the shipped results says what its rows say."""

import importlib.util
import json
import re
import statistics
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from dn_distributed.compaction.proof import ROUNDING, TOLERANCE

RESULTS = Path(__file__).parents[1] / "docs" / "results"
sys.path.append(str(RESULTS))  # scripts there import what lies beside them


def module_at(path: Path) -> ModuleType:
    """The module of a script that lies beside the results, in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page():  # type: ignore[no-untyped-def]
    """The module that makes the page."""
    return module_at(RESULTS / "page.py")


def test_the_page_is_what_its_text_and_rows_make(page) -> None:  # type: ignore[no-untyped-def]
    for path in page.PAGES:
        assert path.read_text(encoding="utf-8") == page.render(path), path.name


def test_every_folder_of_results_is_on_the_page(page) -> None:  # type: ignore[no-untyped-def]
    text = page.PAGES[1].read_text(encoding="utf-8")
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


def test_results_are_not_typed_into_the_text(page) -> None:  # type: ignore[no-untyped-def]
    """Beside expressions the text has numbers of settings, sizes, dates and versions; other fractions are results."""
    text = "".join(page.template(path).read_text(encoding="utf-8") for path in page.PAGES)
    typed = re.sub(r"\{[{%].*?[%}]\}|`[^`]*`|\]\([^)]*\)", "", text, flags=re.DOTALL)
    fractions = set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", typed))
    assert fractions <= page.SETTINGS, fractions - page.SETTINGS


def check(proof: dict[str, Any]) -> None:
    """They hold by the rule of now, though they were recorded under a weaker one: the least rounding explains them."""
    assert proof["max_rel_float64"] <= TOLERANCE
    assert proof["max_rel_float32"] <= ROUNDING * torch.finfo(torch.float32).eps
    assert not proof["changed_predictions"]


def test_the_page_of_recipes_is_that_of_its_rows_and_proofs() -> None:
    script = module_at(RESULTS / "recipes.py")
    proofs = json.loads(script.PROOFS.read_text("utf-8"))
    assert script.page(proofs) == script.PAGE.read_text("utf-8")
    assert set(proofs) == set(script.RECIPES)
    for name, least, most_error in zip(script.RECIPES, (20, 30, 160), (1.7, 1.8, 1.1), strict=True):
        rows = script._rows(name)
        assert statistics.fmean(row.counts.num_weights / row.counts.dense_size for row in rows) >= least
        assert statistics.fmean(script._error(row, "test") for row in rows) <= most_error
        for row in rows:
            proof = proofs[name][str(row.seed)]
            check(proof)
            assert proof["after"]["weights"] == row.counts.dense_size


def test_the_pages_of_rivals_are_those_of_their_rows_and_records() -> None:
    script = module_at(RESULTS / "rivals.py")
    shown = [network for network in script.NETWORKS if network.folders]
    assert {network.page for network in shown} == set(script.FOLDER.glob("*.md"))
    for network in shown:
        found = script.entries(network)
        text = network.page.read_text("utf-8")
        assert script.page(network, found) == text
        for name in network.planned:
            assert name in text, "neither shown nor named as missing"
        for entry in found:
            assert len(entry.rows) == 5
            for row, compression in zip(entry.rows, entry.compressions("mixed"), strict=True):
                assert compression == pytest.approx(row.counts.num_weights / row.counts.num_nonzero)


def test_a_record_is_reached_by_its_very_figures() -> None:
    """As floats, 100 · (1 − 0.97) is more than 3."""
    script = module_at(RESULTS / "rivals.py")
    ours = SimpleNamespace(compressions=lambda kind: [10.0], errors=[100 * (1 - 0.97)])
    records = [
        {"method": "same", "compression": 10.0, "error": 3.0},
        {"method": "better", "compression": 10.0, "error": 2.99},
    ]
    assert script._reached("mixed", [ours], records).startswith("Of these 2, 1 are reached")
    assert script._reached("mixed", [ours], records).endswith("not: better.")


def test_the_page_of_smaller_networks_is_that_of_its_results() -> None:
    script = module_at(RESULTS / "compact_networks.py")
    found = json.loads(script.RESULTS.read_text("utf-8"))
    assert script.page(found) == script.PAGE.read_text("utf-8")
    for line in found.values():
        check(line["proof"])
        assert line["after"]["num_weights"] == sum(layer["weights"] for layer in line["dropped"]["layers"])


def test_the_index_is_that_of_the_rows(page) -> None:  # type: ignore[no-untyped-def]
    assert page.INDEX.read_text(encoding="utf-8") == page.render_index()
    links = re.findall(r'<a href="([^"]+)"', page.render_index())
    assert links
    assert all((RESULTS / link).is_file() for link in links)


def test_the_page_of_recovery_is_what_its_records_make() -> None:
    script = module_at(RESULTS / "recovery.py")
    text, ensembles = script.page()
    assert script.PAGE.read_text("utf-8") == text
    assert ensembles
    pictures = [script.FOLDER / name for name in re.findall(r"^!\[.*\]\((.*)\)$", text, re.MULTILINE)]
    assert len(pictures) == 1 + len(ensembles)
    assert max(picture.stat().st_size for picture in pictures) < 150_000
    assert sum(path.stat().st_size for path in script.FOLDER.glob("*.json")) < 200_000
    typed = re.sub(r"\{[{%].*?[%}]\}", "", script.TEMPLATE.read_text("utf-8"))
    assert re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", typed) == []


def test_the_page_of_code_features_is_that_of_its_results() -> None:
    script = module_at(RESULTS / "code_features.py")
    found = script.read()
    assert script.page(found) == script.PAGE.read_text("utf-8")
    for name in (*script.NETWORKS, script.UNTRAINED):
        assert found[name].keys() == {str(seed) for seed in range(10)}
        assert all(one["C"] in script.STRENGTHS for one in found[name].values())


def test_what_is_answered_is_what_rows_and_curves_say() -> None:
    pytest.importorskip("statsmodels", reason="a package of the extra `dev`: the figures of the plan's own test")
    script = module_at(RESULTS / "questions.py")
    answered = script.answered()
    assert answered
    for question in answered:
        assert script.page(question) == question.answer.read_text("utf-8"), question.name
        assert {level.num_seeds for level in question.levels()} == {10}
