"""What this project knows of Ray that Ray does not promise: checked with 2.60; a test says when it changes."""

from typing import Any

from ray.job_config import JobConfig


class WithoutDriverPaths(JobConfig):
    """A job whose workers find modules where their Python finds them.

    Ray puts the driver's working folder, and the folder of its script, before everything else on a worker's path:
    any ``random.py`` or ``tracking.py`` in it would take the place of the module of that name.
    """

    @property
    def _py_driver_sys_path(self) -> list[str]:
        return []  # Ray extends what it finds here

    @_py_driver_sys_path.setter
    def _py_driver_sys_path(self, paths: Any) -> None:
        pass
