"""MLflow installed below a folder with a ``%`` in its name: it hands the path of its migrations to Alembic as it is,
and there a ``%`` begins a placeholder. (Seen with MLflow 3.17 and Alembic 1.20.)
"""

import re
import sysconfig

_ALONE = re.compile(r"(?<!%)%(?!%)")


def escape() -> None:
    """Double each ``%`` of the path in this process, where the installation's path has one."""
    if "%" in sysconfig.get_path("purelib"):
        escape_always()


def escape_always() -> None:
    """Double each ``%`` of a path of migrations."""
    from alembic.config import Config

    set_as_it_is = Config.set_main_option

    def set_escaped(self: Config, name: str, value: str) -> None:
        set_as_it_is(self, name, _ALONE.sub("%%", value) if name == "script_location" else value)

    Config.set_main_option = set_escaped  # type: ignore[method-assign]
