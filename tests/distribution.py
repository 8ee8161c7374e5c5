"""Which tests run in the same process, and which begin first, where pytest-xdist has several: ``--dist loadfile``."""

from xdist.scheduler import LoadFileScheduling

_RAY = "a Ray that is running"
_TOGETHER = {
    _RAY: (
        *("sweeps/test_packs.py", "sweeps/test_search.py", "sweeps/test_data.py", "sweeps/test_own_modules.py"),
        *("sweeps/test_preflight_of_nodes.py", "sweeps/test_checkpoints.py", "sweeps/test_ray_internals.py"),
        "sweeps/test_closed_doors.py",
    ),
    "one undisturbed sweep": ("sweeps/test_end_to_end.py", "sweeps/test_faults.py"),
    "the hosts of this machine": ("cluster/test_on_premises.py", "cluster/test_cluster_faults.py"),
}
"""Files that share what is slow to make, or there once."""
_GROUPS = {f"tests/{file}": group for group, files in _TOGETHER.items() for file in files}
_FIRST = ("tests/cluster/", "tests/sweeps/", "tests/test_examples.py", "tests/test_notebooks.py")
"""What takes longest, or one process would end long after the others."""


class Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """Whole files to each process, and the files of a group to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return _GROUPS.get(_file(nodeid), _file(nodeid))


def shares_ray(nodeid: str) -> bool:
    """Return whether the tests of this file use the one Ray of their process."""
    return _GROUPS.get(_file(nodeid)) == _RAY


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def order(nodeid: str) -> tuple[bool, int]:
    """Return what a test is sorted by: tests of a group stand together too where there is but one process."""
    file = _file(nodeid)
    return not file.startswith(_FIRST), list(_TOGETHER).index(_GROUPS[file]) if file in _GROUPS else len(_TOGETHER)
