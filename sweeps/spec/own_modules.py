"""Modules of the user's (``--import``): tasks and regularisers that are not ours, in this process and in Ray's."""

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dn_distributed.registry import OWN_MODULES
from dn_distributed.text import with_class
from sweeps.errors import SpecError


@dataclass(frozen=True)
class OwnModules:
    """What is imported from where, again wherever a copy arrives: unpickled before what needs it, it comes first."""

    folder: str
    names: tuple[str, ...]

    def load(self) -> "OwnModules":
        """Import the modules and return self; SpecError if one cannot be.

        Their folder comes last on the path: a file of the user's that is called as a module of the installation is,
        ``random.py`` or ``tracking.py``, does not take its place.
        """
        if self.names and self.folder not in sys.path:
            sys.path.append(self.folder)
        for name in self.names:
            if name.endswith(".py") or not all(name.split(".")) or {"/", "\\"} & {*name}:
                module = Path(name).name.removesuffix(".py") or "my_module"
                raise SpecError(f"--import {name}: give the module's name, without path or .py, as --import {module}")
            try:
                found = importlib.import_module(name)
            except (Exception, SystemExit) as error:
                reason = str(error) if isinstance(error, ModuleNotFoundError) else with_class(error)
                raise SpecError(f"--import {name}: {' '.join(reason.split())}") from error
            hidden = Path(self.folder, f"{name}.py")
            where = getattr(found, "__file__", None) or "Python itself"
            if hidden.is_file() and Path(where).resolve() != hidden.resolve():
                raise SpecError(f"--import {name}: {hidden} has the name of another module ({where}); rename it")
            OWN_MODULES.add(name)
        return self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str | tuple[str, ...], ...]]:
        """A copy loads the modules in the process where it arrives, from where they were found in this one."""
        roots = tuple(dict.fromkeys(map(_root, self.names)))
        return _loaded, (self.folder, self.names, roots, tuple(sorted(OWN_MODULES)))


def own_modules(names: str | Sequence[str]) -> OwnModules:
    """Return the modules of these names, or of this one, of the working folder or of the installation."""
    return OwnModules(str(Path.cwd()), (names,) if isinstance(names, str) else tuple(names))


def _root(name: str) -> str:
    """The folder from which a module was imported: that of a script, say, which was run in another folder."""
    path = Path(getattr(sys.modules.get(name), "__file__", None) or name).absolute()
    return str(path.parents[name.count(".") + (path.name == "__init__.py")])


def _loaded(folder: str, names: tuple[str, ...], roots: tuple[str, ...], registered: tuple[str, ...]) -> OwnModules:
    OWN_MODULES.update(registered)
    sys.path.extend(root for root in roots if root not in sys.path)
    return OwnModules(folder, names).load()
