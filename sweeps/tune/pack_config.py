"""The pack of a trial as Tune carries it: a trial's configuration, made in the driver and read in a worker."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dn_distributed.config import Cell
from sweeps.planning.plan import Pack

if TYPE_CHECKING:
    from sweeps.tune.context import TrialContext

PACK = "pack"
"""Key of the configuration of a planned trial."""


def to_text(pack: Pack) -> str:
    """Return the value of ``PACK`` in the configuration of a planned trial; ``pack_of`` reads it.

    It is text, for Tune copies the configurations of its trials again and again.
    """
    return json.dumps({"cell": pack.cell.model_dump_json(), "method": pack.method, "seeds": list(pack.seeds)})


def pack_of(config: Mapping[str, Any], context: "TrialContext") -> Pack:
    """Return the pack of a trial: as planned, or as Optuna's values make it."""
    if context.adaptive_label is None:
        pack = json.loads(config[PACK])
        return Pack(pack["method"], Cell.model_validate_json(pack["cell"]), tuple(pack["seeds"]))
    sweep = context.sweep
    method = next(method for method in sweep.methods if method.label == context.adaptive_label)
    values = {name: float(config[name]) for name in method.spaces}
    return Pack(method.label, sweep.cell(method, values, context.data.digest, context.data.num_train), sweep.seeds)
