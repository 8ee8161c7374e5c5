"""Documents say what is so: links lead somewhere, examples load and run, commands and names exist."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import torch
import yaml

from dn_distributed import data, regularizers, tasks
from sweeps.cli.main import dn
from sweeps.spec import load as spec
from tracking import published_rows, schema, variables

HERE = Path(__file__).parents[1]


def _tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard", pattern], cwd=HERE,
                            capture_output=True, text=True, check=True).stdout  # fmt: skip
    return [HERE / name for name in listed.split("\0") if name and (HERE / name).exists()]


DOCUMENTS = _tracked("*.md")
WRITTEN = [path for path in DOCUMENTS if HERE / "docs/results" not in path.parent.parents]
"""By people: not the tables and statistics of reports."""


def _named(path: Path) -> str:
    return str(path.relative_to(HERE))


every_document = pytest.mark.parametrize("path", WRITTEN, ids=_named)


def _blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def _prose(path: Path) -> str:
    """The text without blocks of code."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def _anchors(path: Path) -> set[str]:
    """The anchors of headings, as code hosts and the site make them."""
    headings = re.findall(r"^#+ (.*)$", _prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_document
def test_links_lead_to_files_and_headings_that_are_there(path: Path) -> None:
    for target in re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", _prose(path)):
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), f"{_named(path)} links {target}"
        if anchor:
            assert anchor in _anchors(there), f"{_named(path)} links {target}; there are {sorted(_anchors(there))}"


def test_every_page_of_the_site_is_reached_from_its_index() -> None:
    index = (HERE / "docs/index.md").read_text(encoding="utf-8")
    pages = [path.relative_to(HERE / "docs").with_suffix("") for path in WRITTEN if HERE / "docs" in path.parents]
    assert [
        str(page) for page in pages if str(page) != "index" and not re.search(f"^{page}$", index, re.MULTILINE)
    ] == []


@every_document
def test_python_is_python(path: Path) -> None:
    for block in _blocks(path, "python"):
        ast.parse(block)


def _sweep_files() -> Iterator[Any]:
    for path in WRITTEN:
        for number, block in enumerate(_blocks(path, "yaml")):
            if isinstance(found := yaml.safe_load(block), dict) and "methods" in found:
                yield pytest.param(path, block, id=f"{_named(path)}-{number}")


@pytest.fixture
def registries() -> Iterator[None]:
    """What examples enter is taken out again."""
    registered: tuple[dict[str, Any], ...] = (tasks.TASKS, data.DATASETS, regularizers.PENALTIES)
    before = [dict(registry) for registry in registered]
    yield
    for registry, entries in zip(registered, before, strict=True):
        registry.clear()
        registry.update(entries)


def _run(block: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a block of Python as a module of the name that its first line says, in the folder ``folder``."""
    name = re.match(r"# (\w+)\.py\n", block)
    module = name[1] if name else "example_of_a_document"
    (folder / f"{module}.py").write_text(block, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, module, raising=False)
    __import__(module)


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(("path", "block"), list(_sweep_files()))
def test_sweep_files_load(path: Path, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in _blocks(path, "python"):
        if code.startswith("# "):  # a module of the reader's, which the file may name
            _run(code, tmp_path, monkeypatch)
    file = tmp_path / "sweep.yaml"
    file.write_text(block, encoding="utf-8")
    assert spec.load(file).methods


def _examples() -> Iterator[Any]:
    for name in ("README.md", *(_named(path) for path in WRITTEN if "docs/" in _named(path))):
        for number, block in enumerate(_blocks(HERE / name, "python")):
            yield pytest.param(block, id=f"{name}-{number}")


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("block", list(_examples()))
def test_python_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").symlink_to(HERE / "docs")
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # small networks on a busy machine: threads would wait for one another
    try:
        _run(block, tmp_path, monkeypatch)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("number", "example"), [(0, "own_loop.py"), (1, "proximal_loop.py")])
def test_the_loop_of_the_page_is_that_of_the_example(number: int, example: str) -> None:
    block = list(_blocks(HERE / "docs/how-to/use-the-penalties-in-your-own-loop.md", "python"))[number]
    assert (HERE / "examples" / example).read_text(encoding="utf-8").endswith(f'"""\n\n{block}')


def test_the_sweep_of_the_page_is_that_of_the_example() -> None:
    script, _ = _blocks(HERE / "docs/how-to/run-a-sweep-from-python.md", "python")
    assert (HERE / "examples/sweep_from_python.py").read_text(encoding="utf-8").endswith(f'"""\n\n{script}')


def _commands(path: Path, program: str) -> Iterator[list[str]]:
    """The words of each command of a program, in blocks of shell and in the text."""
    text = path.read_text(encoding="utf-8")
    shell = "\n".join(_blocks(path, "(?:bash|sh|console)"))
    inline = re.findall(r"`([^`\n]+)`", _prose(path))
    assert text
    for line in [*shell.replace("\\\n", " ").splitlines(), *inline]:
        for found in re.finditer(rf"(?:^|[\s'/(]){program} ([a-z-][^#;|&']*)", line):
            yield found[1].split()


def _after_options_of_all(words: list[str]) -> list[str]:
    """The words from the verb on: what stands before it are options of ``dn`` itself."""
    flags = {name: parameter.is_flag for parameter in dn.params for name in parameter.opts}  # type: ignore[attr-defined]
    while words and words[0] in flags:
        words = words[1 if flags[words[0]] else 2 :]
    return words


@every_document
def test_commands_of_dn_are_there(path: Path) -> None:
    context = click.Context(dn)
    for words in _commands(path, "dn"):
        words = _after_options_of_all(words)
        verb = words[0] if words else "VERB"
        if verb in ("--help", "VERB"):
            continue
        assert verb in dn.list_commands(context), f"{_named(path)}: dn {' '.join(words)}"
        command = dn.get_command(context, verb)
        assert command is not None
        options = {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}
        asked = [word.partition("=")[0] for word in words[1:] if word.startswith("--")]
        assert set(asked) <= options, f"{_named(path)}: dn {' '.join(words)}"


@every_document
def test_targets_of_make_are_there(path: Path) -> None:
    rules = (HERE / "Makefile").read_text(encoding="utf-8")
    for words in _commands(path, "make"):
        assert re.search(rf"^{re.escape(words[0])}:", rules, re.MULTILINE), f"{_named(path)}: make {words[0]}"


@every_document
def test_files_of_the_repository_that_are_named_are_there(path: Path) -> None:
    if path.name == "CHANGELOG.md":
        return  # of what was
    named = re.findall(r"[\w./-]+/[\w.-]+\.(?:py|yaml|md|jinja|sh)\b", _prose(path))
    ours = [name for name in named if name.split("/")[0] in ("dn_distributed", "tracking", "sweeps", "tests", "docs",
                                                               "benchmarks", "deploy", "examples")]  # fmt: skip
    assert [name for name in ours if not (HERE / name).exists()] == []


def test_the_page_on_resuming_promises_no_bits_on_other_threads() -> None:
    """Products of convolutions are added up in another order there."""
    (first,) = re.findall(r"^1\. .*?(?=^2\. )", (HERE / "docs/explanation/resuming.md").read_text(), re.M | re.S)
    (unchanging,) = re.findall(r"([^.]*)\schange no bit of it,", first)
    assert "thread" not in unchanging
    assert "acks" not in unchanging, "of several threads"
    assert re.search(r"Another number of threads .* can round otherwise", " ".join(first.split()))


def test_the_readme_is_short() -> None:
    assert len((HERE / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
    assert len((HERE / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_variable_of_the_environment_is_described_and_no_other() -> None:
    page = (HERE / "docs/reference/environment-variables.md").read_text(encoding="utf-8")
    described = set(re.findall(r"`(DN_[A-Z_]+)`", page))
    generated = {value for name, value in vars(variables).items() if name.isupper() and name != "PREFIX"}
    used = _variables("dn_distributed", "tracking", "sweeps", "deploy")
    generated |= {f"{name}_FILE" for name in generated} | {variables.PREFIX}
    assert used - described - generated == set()
    known = _variables("dn_distributed", "tracking", "sweeps", "deploy", "tests")
    assert {name for name in described - known if name.removesuffix("_FILE") not in known} == set()


def _variables(*folders: str) -> set[str]:
    files = [path for kind in ("*.py", "*.yaml", "*.sh") for path in _tracked(kind) if path != Path(__file__)]
    read = [path for path in files if path.relative_to(HERE).parts[0] in folders]
    return {name for path in read for name in re.findall(r"\bDN_[A-Z_]+\b", path.read_text(encoding="utf-8"))}


def _metrics_of_the_page() -> Mapping[str, re.Pattern[str]]:
    page = (HERE / "docs/reference/stored-names.md").read_text(encoding="utf-8")
    table = page.partition("## Metrics")[2].partition("## Parameters")[0]
    names = [name for line in table.splitlines() if line.startswith("| `") for name in re.findall(
        r"`([^`]+)`", line.split(" | ")[0])]  # fmt: skip
    words = {"LAYER": r"[\w.]+", "UNITS": r"[\w.]+", "SPLIT": "(validation|test|test_with_dropout)",
             "SCORE": "(loss|accuracy|mse|nmse)"}  # fmt: skip
    return {name: re.compile("/".join(words.get(part, re.escape(part)) for part in name.split("/"))) for name in names}


def test_every_metric_of_the_shipped_rows_is_described_and_no_other() -> None:
    described = _metrics_of_the_page()
    stored: set[str] = set()
    for path in (HERE / "docs/results").glob("*/rows.json"):
        replicates = json.loads(path.read_text(encoding="utf-8"))["replicates"]
        stored |= {name for replicate in replicates for name in replicate["metrics"]}
    assert [name for name in sorted(stored) if not any(p.fullmatch(name) for p in described.values())] == []
    assert [name for name, p in described.items() if not any(p.fullmatch(other) for other in stored)] == []


@pytest.mark.parametrize("name", [name for name in tasks.TASKS if published_rows.row_names(name)])
def test_the_page_on_the_paper_has_the_settings_of_every_task(name: str) -> None:
    page = (HERE / "docs/explanation/the-paper.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    training = tasks.TASKS[name].default_training
    length = f"{training.steps:,} steps".replace(",", " ") if training.epochs is None else f"{training.epochs} "
    assert f"batch {training.batch_size}, {length}" in row
    assert row.endswith(f"| {tasks.TASKS[name].default_pruning.threshold} |")
    assert ("fixed order" in row) is not training.shuffle
    assert (f"× {training.learning_rate_decay}" in row) is (training.learning_rate_decay != 1)


def test_every_stored_name_has_a_docstring() -> None:
    source = Path(schema.__file__).read_text(encoding="utf-8")
    body = ast.parse(source).body
    bare = [
        target.id
        for statement, after in zip(body, [*body[1:], None], strict=True)
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        for target in statement.targets
        if isinstance(target, ast.Name) and not isinstance(after, ast.Expr)
    ]
    metrics = " ".join(_metrics_of_the_page())
    assert [name for name in bare if str(getattr(schema, name)) not in metrics] == []


def test_the_drawing_shows_every_part_of_the_packages() -> None:
    drawing = (HERE / "docs/images/architecture.svg").read_text(encoding="utf-8")
    for package in ("dn_distributed", "tracking", "sweeps"):
        parts = [folder.name for folder in (HERE / package).iterdir() if (folder / "__init__.py").exists()]
        assert [part for part in (package, *parts) if f">{part}</text>" not in drawing] == []


def test_the_drawing_is_what_its_script_draws() -> None:
    script = "import sys; sys.path.insert(0, 'docs'); import architecture; sys.stdout.write(architecture.draw())"
    environment = {**os.environ, "PYTHONUTF8": "1"}
    drawn = subprocess.run([sys.executable, "-c", script], cwd=HERE, capture_output=True, check=True, env=environment)
    assert drawn.stdout.decode() == (HERE / "docs/images/architecture.svg").read_text(encoding="utf-8")


def test_what_reference_pages_say_of_the_code_is_what_it_says() -> None:
    """In a process of its own: tests register tasks."""
    pytest.importorskip("sphinx")
    command = [sys.executable, "docs/from_code.py", "--check"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    keys = (HERE / "docs/reference/sweep-file.md").read_text(encoding="utf-8")
    assert all(f"| `{key}` |" in keys for key in ("name", "task", "seeds", "epochs", "threshold"))


def test_the_page_of_sweep_files_names_no_class_of_python() -> None:
    text = (HERE / "docs/reference/sweep-file.md").read_text(encoding="utf-8")
    values = re.findall(r"^\| `\w+` \| ([^|.]*) \|", text, re.MULTILINE)
    values += re.findall(r"`\w+` \(([^)]*); (?:default|required)", text)
    assert "list of: text" in values
    assert [value for value in values if re.match(r"[A-Z]\w+$|dict$", value)] == []
    assert "Pydantic" not in text
    assert "{'" not in text
