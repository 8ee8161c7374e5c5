import base64
import csv
import hashlib
import io
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dn_distributed.config import Training
from dn_distributed.data.digits import Digits
from tests.tracking.fabricated import Recorder, make_cell
from tracking import figures, report
from tracking.errors import StoreError
from tracking.manifest import Selection
from tracking.report import page as page_of_report
from tracking.report import wording
from tracking.store import ui_view
from tracking.store.cell_params import settings_of
from tracking.store.location import StoreLocation
from tracking.store.notes import NOTE

AWKWARD = '<b>ℓ1</b> & "P"'
DATA_DIR = Path("unused")


@pytest.fixture(scope="module")
def written(location: StoreLocation, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recorder, Path]:
    """The report of an autoencoder's sweep: a whole method, one of two seeds, and one that never ran."""
    recorder = Recorder(location, "report")
    digest = Digits().digest(Digits().load(DATA_DIR))
    whole, half, absent = (make_cell("autoencoder", digest, l1=l1) for l1 in (1e-6, 2e-6, 3e-6))
    recorder.finish(whole, 1, 0, label="whole", epochs=3, test__loss__before_pruning=math.nan)
    recorder.finish(half, 1, label=AWKWARD, epochs=3, density=0.2)
    recorder.announce({"whole": [whole], AWKWARD: [half], "absent": [absent]}, published={"whole": "ℓ1+DN+P"})
    out = tmp_path_factory.mktemp("report")
    report.write(location, recorder.name, out, DATA_DIR)
    return recorder, out


def page_of(out: Path) -> str:
    return (out / report.PAGE).read_text(encoding="utf-8")


def write(recorder: Recorder, out: Path) -> Path:
    return report.write(recorder.location, recorder.name, out, DATA_DIR)


def test_a_report_is_these_files(written: tuple[Recorder, Path]) -> None:
    pictures = ["encodings", "network", "neurons", "patterns", "pixels", "reconstructions", "tradeoff", "training"]
    pictures.append("weights")
    expected = [
        "report.html",
        "rows.json",
        "statistics.md",
        "table.csv",
        "table.html",
        "table.md",
        "table.tex",
    ]
    found = sorted(str(path.relative_to(written[1])) for path in written[1].rglob("*") if path.is_file())
    noise = {"patterns", "weights"}  # of random masks, and too large as SVG
    vectors = [f"figures/{name}.svg" for name in pictures if name not in noise]
    assert found == sorted([*expected, *vectors, *(f"figures/{name}.png" for name in pictures)])


def test_the_report_of_a_chain_of_layers_is_written_without_torch(location: StoreLocation, tmp_path: Path) -> None:
    recorder = Recorder(location, "without-torch")
    cell = make_cell("lenet300")
    recorder.finish(cell, 0, 1, epochs=2)
    recorder.announce({"ℓ1": [cell]})
    script = (
        "import sys; from pathlib import Path; from tracking.report import write; "
        "from tracking.store.location import StoreLocation;"
        f"write(StoreLocation({location.uri!r}), 'without-torch', Path('out'), Path('unused'));"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, text=True, capture_output=True, check=True)
    assert done.stdout.split() == ["False"]
    assert {"network.png", "patterns.png", "pixels.png"} <= {path.name for path in (tmp_path / "out/figures").iterdir()}


def test_where_torch_is_not_installed_what_needs_it_is_left_out_and_said(
    location: StoreLocation, tmp_path: Path
) -> None:
    recorder = Recorder(location, "no torch at all")
    cell = make_cell("autoencoder")
    recorder.finish(cell, 0)
    recorder.announce({"ℓ1": [cell]})
    script = (
        "import sys; sys.modules['torch'] = None; from pathlib import Path; from tracking.report import write; "
        "from tracking.store.location import StoreLocation;"
        f"print(write(StoreLocation({location.uri!r}), {recorder.name!r}, Path('out'), Path('unused')))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, text=True, capture_output=True, check=True)
    page = (tmp_path / done.stdout.strip()).read_text("utf-8")
    assert "Reconstructions and encodings are left out: import of torch halted" in page


def test_a_report_is_attached_to_its_run(written: tuple[Recorder, Path]) -> None:
    recorder, out = written
    (run,) = recorder.runs("report")
    for path in out.rglob("*"):
        if path.is_file():
            stored = recorder.artifact(run.info.run_id, f"report/{path.relative_to(out)}")
            assert stored.read_bytes() == path.read_bytes()


def test_every_picture_is_small_and_whole(written: tuple[Recorder, Path]) -> None:
    for path in (written[1] / "figures").glob("*.png"):
        assert path.stat().st_size < 300_000
        with Image.open(path) as picture:
            picture.verify()


def without_scripts(page: str) -> tuple[str, list[str]]:
    """A page without its scripts, and what stands in them."""
    element = r"<script(?: type=\"[a-z/]+\")?(?: id=\"charts\")?>(.*?)</script>"
    return re.sub(element, "", page, flags=re.DOTALL), re.findall(element, page, flags=re.DOTALL)


def test_the_page_stands_alone(written: tuple[Recorder, Path]) -> None:
    page, scripts = without_scripts(page_of(written[1]))
    data, script = scripts
    assert "script-src 'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'" in page
    assert '"charts":' in data
    assert "<" not in data
    assert "<script" not in page
    assert "<link" not in page
    assert "@import" not in page
    assert "url(" not in page
    sources = re.findall(r'\b(?:src|srcset|data|poster|action)="([^"]*)"', page)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    without_links = re.sub(r'<a href="https?://[^"]*">', "", page)
    assert not re.search(r"https?://", without_links)
    assert "default-src 'none'" in page


def test_the_page_holds_the_pictures_that_lie_beside_it(written: tuple[Recorder, Path]) -> None:
    """Those that are too large for their share of the page are coarser there."""
    element = r'<figure id="(\w+)">(?:(?!</figure>).)*src="data:image/png;base64,([^"]*)"'
    found = re.findall(element, page_of(written[1]), re.DOTALL)
    held = {name: base64.b64decode(data) for name, data in found}
    files = {path.stem: path.read_bytes() for path in (written[1] / "figures").glob("*.png")}
    most = page_of_report._most_of_each([*map(len, files.values())])
    assert held.keys() == files.keys()
    for name, picture in files.items():
        assert held[name] == picture if len(picture) <= most else len(held[name]) <= most


def test_the_page_says_what_was_run(written: tuple[Recorder, Path]) -> None:
    recorder, out = written
    page = page_of(out)
    run = recorder.runs("replicate")[0]
    for text in (
        "<h1>report</h1>",
        "autoencoder on digits: 3 methods, 2 seeds",
        "30 steps, batches of 1, Adam, learning rate 0.001",
        "weights with |w| &lt; 0.01 become 0",
        run.data.params["dataset_digest"],
        f"torch {run.data.tags['version.torch']}, ray {run.data.tags['version.ray']}",
        f"{run.data.tags['host']}, cpu",
        " UTC",
    ):
        assert text in page


def test_the_page_begins_with_the_answer_and_ends_with_how_it_was_made(written: tuple[Recorder, Path]) -> None:
    page = page_of(written[1])
    parts = [
        'class="headline"',
        ">Results<",
        ">Layer by layer<",
        ">Methods<",
        ">Figures<",
        ">Runs<",
        ">How it was made<",
    ]
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    headline = page[places[0] :].partition("</p>")[0]
    assert "&lt;b&gt;ℓ1&lt;/b&gt; &amp; " in headline
    assert "\u00a0% of the weights (whole: " in headline
    assert "no verdict" not in headline  # the two have one seed in common
    assert "; not compared)" in headline
    assert " %" not in headline  # a number and its sign stay on a line
    assert "<p>Missing: " in page


def test_the_page_names_every_run_and_links_those_of_a_server(written: tuple[Recorder, Path]) -> None:
    recorder, out = written
    page = page_of(out)
    for row in recorder.read().rows:
        assert f"<code>{row.run_id}</code>" in page
    assert "/#/experiments/" not in page  # an embedded store has no address
    assert ui_view.run_link("http://host:1/", "7", "abc") == "http://host:1/#/experiments/7/runs/abc"


def test_each_method_leads_to_the_run_of_its_cell(written: tuple[Recorder, Path], tmp_path: Path) -> None:
    recorder, _ = written
    served = page_of_report.Served("../", "../mlflow")
    page = report.write(recorder.location, recorder.name, tmp_path, DATA_DIR, served=served).read_text("utf-8")
    by_label = {cell.info.run_name: cell for cell in recorder.runs("cell")}
    whole, half = (by_label[label].info.run_id for label in ("whole", AWKWARD))
    start = f'<a href="../mlflow#/experiments/{recorder.experiment_id}/runs/'
    assert f'<th class="reproduced">{start}{whole}">whole</a></th>' in page
    assert f'<th scope="row">{start}{whole}">whole</a></th>' in page
    assert f'{start}{half}">&lt;b&gt;ℓ1' in page
    assert f'{start}{whole}">published' not in page
    assert '<th scope="row">absent</th>' in page


def test_the_answer_and_the_rows_are_in_the_notes_of_the_ui(written: tuple[Recorder, Path], tmp_path: Path) -> None:
    recorder, _ = written
    (run,) = recorder.runs("report")
    link = f"(#/experiments/{recorder.experiment_id}/runs/{run.info.run_id}/artifacts/report/report.html)"
    note = recorder.store.get_experiment(recorder.experiment_id).tags[NOTE]
    assert "% of the weights (whole: " in note
    assert link in note
    assert f"(./sweeps/{recorder.name})" in note
    by_label = {cell.info.run_name: cell for cell in recorder.runs("cell")}
    row = by_label["whole"].data.tags[NOTE]
    assert " of 1888 neurons, " in row
    assert "(2 of 2 seeds)." in row
    assert link in row
    mine = f"what I saw\n\n{row}\nand more"
    recorder.store.set_tag(by_label["whole"].info.run_id, NOTE, mine)
    write(recorder, tmp_path)
    assert recorder.store.get_run(by_label["whole"].info.run_id).data.tags[NOTE] == mine


def test_pictures_are_described_by_their_numbers(written: tuple[Recorder, Path]) -> None:
    described = re.findall(r'alt="([^"]*)"', page_of(written[1]))
    assert len(described) == 9
    texts = {text.partition(".")[0]: text.partition(" whole: ")[2].partition(";")[0] for text in described}
    assert len(set(texts.values())) == 9, "each says something else"
    for heading, said in {
        "What is left against score": r"[\d.]+ % of the weights left, test mse 0\.141, mean of 2",
        "Neurons left per layer": r"input \d+ of 784, encoder1 \d+ of 128, .*, decoder2 \d+ of 784 neurons",
        "The network before and after dropping": r"input \d+ of 784, .* neurons, seed 0",
        "Sparsity patterns": r"encoder1 [\d.]+ %, encoder2 [\d.]+ %, decoder1 [\d.]+ %, decoder2 [\d.]+ %",
        "Weights that are left": r"encoder1 \d+ of 100352 from -[\d.]+ to [\d.]+, encoder2 .*",
        "Pixels that are left": r"\d+ of 784 input pixels, \d+ of 784 output pixels",
        "Reconstructions": r"mean squared error [\d.]+ on these 10 images",
        "Encodings": r"\d+ of 64 units differ between the 10 images",
        "Training": r"medians of validation mse 1 to 0\.333, weights left .* to .*",
    }.items():
        assert re.fullmatch(said, texts[heading]), texts[heading]


def test_labels_are_escaped(written: tuple[Recorder, Path]) -> None:
    assert "<b>ℓ1" not in page_of(written[1])
    assert "&lt;b&gt;ℓ1&lt;/b&gt; &amp; " in page_of(written[1])


def test_what_is_missing_shows_as_missing(written: tuple[Recorder, Path]) -> None:
    page = page_of(written[1])
    assert "absent: 2 of 2 replicates are missing." in page
    assert "1 of 2 replicates are missing." in page
    results = page[page.index("<table><thead><tr><td></td>") :].partition("</table>")[0]
    labels = re.findall(r'<th class="reproduced">(.*?)</th>', results)
    place = labels.index("absent")
    lines = results.split("<tr>")[2:]
    values = [re.findall(r'<td class="reproduced[^"]*">(.*?)</td>', line)[place] for line in lines]
    assert set(values[:-1]) == {"—"}
    assert values[-1] == "0 of 2"


def test_the_rows_rebuild_the_same_tables(written: tuple[Recorder, Path], tmp_path: Path) -> None:
    recorder, out = written
    report.write_from_rows(out / report.ROWS, tmp_path)
    for name in ("table.md", "table.csv", "table.tex", "table.html", report.ROWS, report.STATISTICS):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name
    page = page_of(tmp_path)
    assert "need the store" in page
    assert 'id="tradeoff"' in page
    assert 'id="patterns"' not in page
    stored = {row.replicate_key for row in recorder.read().rows}
    assert {row["replicate_key"] for row in replicates(tmp_path)} == stored


def test_rows_draw_the_same_figures_as_the_store_and_leave_the_others_beside_them(
    written: tuple[Recorder, Path], tmp_path: Path
) -> None:
    _, out = written
    of_rows = {f"{kind.name}.{end}" for kind in figures.FIGURES if kind.of_rows for end in ("png", "svg")}
    shutil.copytree(out, tmp_path / "own")
    report.write_from_rows(tmp_path / "own" / report.ROWS, tmp_path / "own")
    report.write_from_rows(out / report.ROWS, tmp_path / "other")
    whole, own, other = (
        {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
        for folder in (out, tmp_path / "own", tmp_path / "other")
    )
    assert own == whole
    assert other == {name: data for name, data in whole.items() if name in of_rows}
    assert len(other) >= 4


def replicates(out: Path) -> list[dict[str, Any]]:
    rows: dict[str, Any] = json.loads((out / report.ROWS).read_text(encoding="utf-8"), parse_constant=pytest.fail)
    found: list[dict[str, Any]] = rows["replicates"]
    return found


def test_nan_is_written_as_text(written: tuple[Recorder, Path]) -> None:
    assert replicates(written[1])[1]["metrics"]["test/loss/before_pruning"] == "NaN"


def test_the_same_store_gives_the_same_bytes(written: tuple[Recorder, Path], tmp_path: Path) -> None:
    recorder, out = written
    write(recorder, tmp_path / "new" / "folder")
    for path in out.rglob("*"):
        if path.is_file():
            assert (tmp_path / "new" / "folder" / path.relative_to(out)).read_bytes() == path.read_bytes()


@pytest.fixture
def searched(recorder: Recorder) -> Recorder:
    """A search over three configurations: a whole one, one that failed, one that was stopped."""
    whole, failed, stopped = (make_cell(l1=l1) for l1 in (1.0, 2.0, 3.0))
    recorder.finish(whole, 0, validation__nmse__after_pruning=0.25)
    recorder.finish(whole, 1, validation__nmse__after_pruning=0.75)
    recorder.finish(failed, 0)
    recorder.start(failed, 1)[0].fail("why")
    for run in recorder.start(stopped, 0, 1):
        run.stop("epoch 3")
    selection = Selection(objective="validation/nmse/after_pruning", higher_is_better=False)
    recorder.announce({"M": [failed, stopped, whole, make_cell(l1=4.0)]}, selection=selection)
    return recorder


def test_every_configuration_of_a_search_is_told(searched: Recorder, tmp_path: Path) -> None:
    write(searched, tmp_path)
    text = (tmp_path / report.CONFIGURATIONS).read_text(encoding="utf-8")
    lines = {float(line["l1"]): line for line in csv.DictReader(io.StringIO(text))}
    assert {l1: line["state"] for l1, line in lines.items()} == {
        1.0: "complete", 2.0: "failed", 3.0: "stopped", 4.0: "incomplete"
    }  # fmt: skip
    assert {l1: line["chosen"] for l1, line in lines.items()} == {1.0: "yes", 2.0: "no", 3.0: "no", 4.0: "no"}
    whole = lines[1.0]
    assert float(whole["validation/nmse/after_pruning/mean"]) == 0.5
    assert float(whole["validation/nmse/after_pruning/std"]) == pytest.approx(math.sqrt(0.125))
    assert whole["validation/nmse/after_pruning/n"] == "2"
    for name in ("test/nmse/after_pruning", "density", "neurons_alive", "hidden_alive"):
        assert float(whole[f"{name}/mean"]) > 0
    assert (lines[2.0]["density/std"], lines[2.0]["density/n"]) == ("", "1")
    assert (lines[3.0]["density/mean"], lines[3.0]["density/n"]) == ("", "0")
    assert "dn_incoming" not in whole  # the same everywhere


def test_a_report_replaces_its_own_files_and_no_others(searched: Recorder, tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name in ("reconstructions.png", "mine.png"):
        (tmp_path / "figures" / name).write_text("old")
    for name in ("table.md", "notes.txt"):
        (tmp_path / name).write_text("old")
    write(searched, tmp_path)
    assert not (tmp_path / "figures" / "reconstructions.png").exists()  # a regression has none
    assert (tmp_path / "figures" / "mine.png").read_text() == "old"
    assert (tmp_path / "notes.txt").read_text() == "old"
    assert (tmp_path / "table.md").read_text() != "old"
    (run,) = searched.runs("report")
    assert not searched.artifact(run.info.run_id, "report/notes.txt").exists()


def test_a_folder_that_cannot_be_made_is_told(searched: Recorder) -> None:
    with pytest.raises(StoreError, match=r"/proc/absent/.*: No such file"):  # there the kernel alone makes folders
        write(searched, Path("/proc/absent"))


def test_configurations_of_an_earlier_search_are_removed(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / report.CONFIGURATIONS).write_text("old")
    recorder.announce({"M": [make_cell()]})
    write(recorder, tmp_path)
    assert not (tmp_path / report.CONFIGURATIONS).exists()


def test_a_sweep_of_which_nothing_has_finished_has_a_report(recorder: Recorder, tmp_path: Path) -> None:
    recorder.announce({"M": [make_cell()]})
    page = write(recorder, tmp_path).read_text(encoding="utf-8")
    assert "M: 2 of 2 replicates are missing." in page
    assert "nothing to draw" in page
    assert replicates(tmp_path) == []
    assert not (tmp_path / "figures").exists()


def test_an_absent_sweep_is_an_error(location: StoreLocation, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no sweep 'absent'"):
        report.write(location, "absent", tmp_path / "out", DATA_DIR)
    assert not (tmp_path / "out").exists()


def test_a_sweep_without_its_manifest_is_an_error(recorder: Recorder, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="run `dn sweep`"):
        write(recorder, tmp_path / "out")


def test_the_figures_that_a_report_may_have_are_named_once() -> None:
    names = [kind.name for kind in figures.FIGURES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("seeds", "words"), [((0,), "0"), ((0, 1, 2), "0, 1, 2"), (range(10), "0 to 9"), ((0, 1, 2, 7), "0, 1, 2, 7")]
)
def test_seeds_in_words(seeds: tuple[int, ...], words: str) -> None:
    assert wording.seeds_in_words(seeds) == words


def test_options_of_a_task_are_said_as_a_sweep_file_has_them() -> None:
    task: dict[str, Any] = {
        "name": "network", "architecture": {"mlp": {"hidden": [32, 16]}}, "penalized": [], "split": None,
        "filters": True, "separator": ",", "validation": 0, "validation_size": 5000, "path": "häuser.csv",
    }  # fmt: skip
    assert wording.identity_in_words(task) == (
        "network (architecture {mlp: {hidden: [32, 16]}}, filters true, separator ',', validation 0, "
        "validation_size at most 5000, path häuser.csv)"
    )


def test_precision_in_words() -> None:
    phases = [Training(steps=5, batch_size=2), Training(steps=5, batch_size=2, precision="bf16")]
    assert wording.training_in_words(phases) == (
        "5 steps, batches of 2, Adam, learning rate 0.001; then "
        "5 steps, batches of 2, Adam, learning rate 0.001, products in bfloat16"
    )


def test_coefficients_in_words() -> None:
    both: dict[str, Any] = {"dn_incoming": 1e-6, "dn_outgoing": 1e-6}
    assert wording.coefficients_in_words([make_cell()]) == "none"
    assert wording.coefficients_in_words([make_cell(l1=1e-6, dropout=0.5)]) == "l1 1e-06, dropout 0.5"
    assert wording.coefficients_in_words([make_cell(**both)]) == "dn 1e-06"
    assert wording.coefficients_in_words([make_cell(dn_incoming=1e-6, dn_outgoing=2e-6)]) == (
        "dn_incoming 1e-06, dn_outgoing 2e-06"
    )
    assert wording.coefficients_in_words([make_cell(l1=2.0), make_cell(l1=1.0)]) == "l1 1 or 2"
    many = [make_cell(l1=float(value)) for value in range(1, 6)]
    assert wording.coefficients_in_words(many) == "l1 1 … 5 (5 values)"


def test_proximal_steps_are_told() -> None:
    exact = make_cell(l1=1e-6).model_copy(update={"step": "proximal"})
    assert wording.coefficients_in_words([exact]) == "l1 1e-06, proximal steps"
    assert settings_of(exact)["step"] == "proximal"
    assert "step" not in settings_of(make_cell(l1=1e-6))


def test_training_in_words() -> None:
    training = Training(epochs=10, batch_size=64, learning_rate_decay=0.95, shuffle=False)
    assert wording.training_in_words([training]) == (
        "10 epochs, batches of 64, Adam, learning rate 0.001, × 0.95 after each epoch, samples in fixed order"
    )
    other = Training(
        steps=9, batch_size=1, optimizer="sgd", momentum=0.9, nesterov=True, weight_decay=0.1, schedule="cosine"
    )
    assert wording.training_in_words([other]) == (
        "9 steps, batches of 1, SGD, learning rate 0.001, cosine to 0, Nesterov momentum 0.9, weight decay 0.1"
    )


@pytest.mark.parametrize(
    ("sizes", "most"),
    [
        ([], 450_000),
        ([200_000, 200_000], 450_000),
        ([260_000] * 5, 90_000),
        ([50_000, 300_000, 300_000, 300_000], 133_333),
    ],
)
def test_pictures_share_the_room_of_a_page(sizes: list[int], most: int) -> None:
    assert page_of_report._most_of_each(sizes) == most
    assert sum(min(size, most) for size in sizes) <= 450_000
