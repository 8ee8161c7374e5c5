"""What a function of a user's own returns as data."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from dn_distributed.data.base import DataError, Samples
from dn_distributed.data.samples import SampleDataset, check_samples
from dn_distributed.errors import ArgumentError
from dn_distributed.registry import own_function
from dn_distributed.text import first_line


class FromFunction(SampleDataset):
    """What a function of your own returns; in short ``dataset: module:function``."""

    name: Literal["function"] = "function"
    function: str
    """``module:function``, of a module that ``--import`` names. It returns ``dn.Samples``; where it has the parameter
    ``data_dir``, it is given the folder of datasets, a path."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Its other arguments."""

    @property
    def source(self) -> Callable[..., Any]:
        """The function. ArgumentError where it may not be called here, or is none."""
        return own_function("dataset", self.function)

    def load(self, data_dir: Path) -> Samples:
        """Call the function. DataError, in one line, for whatever it raises, and for what cannot be trained on."""
        try:
            function = self.source
        except ArgumentError as error:
            raise DataError(str(error)) from error
        from_here = {"data_dir": data_dir} if "data_dir" in inspect.signature(function).parameters else {}
        try:
            found = function(**{**from_here, **self.args})
        except Exception as error:  # whatever a function of the user's own raises
            raise DataError(f"dataset {self.function}: {type(error).__name__}: {first_line(error)}") from error
        if not isinstance(found, Samples):
            raise DataError(f"dataset {self.function}: returns {type(found).__name__}, not dn.Samples")
        check_samples(self.function, found)
        return found


def in_full(value: Any) -> Any:
    """Return what ``dataset`` of a sweep file says, with ``module:function`` written in full."""
    said = {"name": value} if isinstance(value, str) else value
    if isinstance(said, dict) and isinstance(name := said.get("name"), str) and ":" in name:
        return {**said, "name": "function", "function": name}
    return value
