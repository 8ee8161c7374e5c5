"""What somebody else's class computes is told by its source, and by nothing that does not compute."""

import importlib
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from torch import Tensor, nn

from dn_distributed import own_code
from dn_distributed.data import DATASETS
from dn_distributed.data.digits import Digits
from dn_distributed.data.linear import Scripted
from dn_distributed.data.table import Csv
from dn_distributed.regularizers import PENALTIES
from dn_distributed.tasks import TASKS
from dn_distributed.tasks.lenet300 import LeNet300
from tests.dn_distributed.support import make_task

TASK = """
from dn_distributed.tasks.lenet300 import LeNet300

HIDDEN = 64  # neurons


class Mine(LeNet300):
    def network(self):
        from mine_layers import sizes
        return super().network()
"""
LAYERS = "import mine_sizes\n\ndef sizes():\n    return mine_sizes.SIZES\n"
FILES = {"mine.py": TASK, "mine_layers.py": LAYERS, "mine_sizes.py": "SIZES = (300, 100)\n", "other.py": "X = 1\n"}

DigestOf = Callable[..., str]


@pytest.fixture
def digest_of(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[DigestOf]:
    """The digest of ``Mine`` in a new folder of files, imported anew."""
    before = set(sys.modules)

    def digest(changes: Mapping[str, str] | None = None, module: str = "mine") -> str:
        folder = tmp_path_factory.mktemp("own")
        for name, text in {**FILES, **(changes or {})}.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(text.encode())
        forget(set(sys.modules) - before)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            importlib.invalidate_caches()
            found = own_code.of_class(importlib.import_module(module).Mine)
        assert found is not None
        return found

    yield digest
    forget(set(sys.modules) - before)


def forget(names: set[str]) -> None:
    for name in names:
        if name.startswith(("mine", "package")):
            del sys.modules[name]


CHANGES = {
    "the class": {"mine.py": TASK.replace("64", "200")},
    "a module that it imports": {"mine_layers.py": LAYERS + "FACTOR = 2\n"},
    "a module that that one imports": {"mine_sizes.py": "SIZES = (300, 101)\n"},
    "a text over two lines": {"mine.py": TASK + 'TEXT = """a\n\n# b"""\n'},
}
NO_CHANGES = {
    "comments": {"mine.py": TASK.replace("# neurons", "# units of a layer\n\n    # that is hidden")},
    "line endings": {"mine.py": TASK.replace("\n", "\r\n")},
    "a byte order mark": {"mine.py": "\ufeff" + TASK},
    "a module that is not imported": {"other.py": "X = 2\n"},
    "the file's name": {"mine_renamed.py": TASK},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_digest_changes_with(digest_of: DigestOf, changes: dict[str, str]) -> None:
    assert digest_of(changes) != digest_of()


@pytest.mark.parametrize("changes", NO_CHANGES.values(), ids=NO_CHANGES)
def test_digest_does_not_change_with(digest_of: DigestOf, changes: dict[str, str]) -> None:
    module = "mine_renamed" if "mine_renamed.py" in changes else "mine"
    assert digest_of(changes, module) == digest_of()


def test_inside_a_text_every_line_counts(digest_of: DigestOf) -> None:
    texts = [TASK + f'TEXT = """a{inner}b"""\n' for inner in ("\n", "\n\n", "\n# c\n")]
    assert len({digest_of({"mine.py": text}) for text in texts}) == 3


def test_a_package_is_followed_by_relative_imports(digest_of: DigestOf) -> None:
    files = {"package/__init__.py": "", "package/tasks.py": "from . import parts\n" + TASK, "package/parts.py": "A = 1"}
    changed = {**files, "package/parts.py": "A = 2"}
    assert digest_of(files, "package.tasks") != digest_of(changed, "package.tasks")


@pytest.mark.parametrize("cls", [*TASKS.values(), *DATASETS.values(), *PENALTIES.values()])
def test_what_is_shipped_is_known_by_its_name(cls: type) -> None:
    """A task, dataset or penalty that becomes part of the project is entered into ``SHIPPED``."""
    assert own_code.of_class(cls) is None or not cls.__module__.startswith("dn_distributed.")


def test_a_module_that_a_user_adds_to_the_project_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "dn_distributed" / "tasks" / "mine.py"
    file.parent.mkdir(parents=True)
    file.write_text(TASK)
    module = types.ModuleType("dn_distributed.tasks.mine")
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(TASK, module.__dict__)
    assert own_code.of_class(module.Mine) is not None


def test_shipped_things_have_no_digest() -> None:
    assert own_code.digests(LeNet300(), Digits(), PENALTIES) == {}


class Own(LeNet300):
    """The shipped network, in a class of one's own."""


def test_shapes_of_parameters_are_part_of_a_tasks_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    before = own_code.digests(Own(), Digits(), [])
    monkeypatch.setattr(Own, "network", lambda self: make_task("autoencoder").network())
    after = own_code.digests(Own(), Digits(), [])
    assert before.keys() == after.keys() == {own_code.TASK}
    assert before != after


class Normalised(nn.Sequential):
    """All units of a layer are normalised together, so that it is no chain."""

    def __init__(self, norm: type[nn.Module] = nn.LayerNorm) -> None:
        super().__init__(nn.Linear(4, 4), norm(4), nn.Linear(4, 4))


def test_what_was_counted_as_a_chain_and_is_none_has_another_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """So long as sizes told, its stored figures were wrong: they are not taken for those of now."""
    monkeypatch.setattr(Own, "layers", ("0", "2"))
    digests = {}
    for norm in (nn.LayerNorm, nn.BatchNorm1d):
        monkeypatch.setattr(Own, "network", lambda self, norm=norm: Normalised(norm))
        digests[norm] = own_code.digests(Own(), Digits(), [])[own_code.TASK]
    assert digests[nn.LayerNorm] != digests[nn.BatchNorm1d]
    monkeypatch.setattr(own_code, "_NO_CHAIN", "")
    monkeypatch.setattr(own_code, "_was_taken_for_a_chain", lambda *_: False)
    assert own_code.digests(Own(), Digits(), [])[own_code.TASK] == digests[nn.BatchNorm1d]


def test_so_has_one_whose_weights_are_read_otherwise_than_by_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, 2 * self.weight)

    monkeypatch.setattr(Own, "layers", ("0", "2"))
    monkeypatch.setattr(Own, "network", lambda self: nn.Sequential(Doubled(4, 4), nn.ReLU(), nn.Linear(4, 4)))
    found = own_code.digests(Own(), Digits(), [])
    monkeypatch.setattr(own_code, "read_otherwise", lambda *_: {})
    monkeypatch.setattr(own_code, "is_followed_chain", lambda *_: True)
    assert own_code.digests(Own(), Digits(), []) != found


def test_images_of_ones_own_are_told_by_themselves() -> None:
    class Mine(Digits):
        pass

    assert own_code.digests(LeNet300(), Mine(), []) == {}


def test_samples_of_ones_own_are_told_by_their_source_too() -> None:
    class Mine(Csv):
        pass

    mine, shipped = Mine(path="a.csv", target="a"), Csv(path="a.csv", target="a")
    assert set(own_code.digests(LeNet300(), mine, [])) == {own_code.DATASET}
    assert own_code.digests(LeNet300(), shipped, []) == {}


def test_a_functions_source_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine_edited.py"
    file.write_text("def net():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("mine_edited")
    before = own_code._of_function(module.net)
    file.write_text("def net():\n    return 2\n")
    assert own_code._of_function(module.net) == before


def test_generated_data_of_ones_own_are_told_by_their_source() -> None:
    class Mine(Scripted):
        pass

    assert set(own_code.digests(make_task("regression"), Mine(), [])) == {own_code.DATASET}


def test_a_class_without_source_is_refused_with_the_remedy() -> None:
    class Mine(LeNet300):
        __module__ = "__main__"

    with pytest.raises(ValueError, match=r"Mine has no source file.*--import"):
        own_code.digests(Mine(), Digits(), [])
