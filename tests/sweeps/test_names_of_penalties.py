"""No penalty of a user's own is called as something else that its coefficient stands beside."""

import pytest

import dn_distributed as dn
from dn_distributed.regularizers import PENALTIES, coefficients
from sweeps.spec.method import MethodEntry
from tests.tracking.fabricated import make_cell
from tracking import schema
from tracking.results import frame
from tracking.store.cell_params import settings_of

COLUMNS = {"method", "cell_key", "seed", "state", "reason", "chosen", *frame._COUNTS}
SETTINGS = {name for name in settings_of(make_cell()) if name.isidentifier()} - set(coefficients())
KEYS = {name for name in dir(MethodEntry) if not name.startswith("_")} | MethodEntry.model_fields.keys()


@pytest.mark.parametrize("name", sorted(COLUMNS | SETTINGS | KEYS | {schema.SEED, schema.LAYERS, schema.EPOCH}))
def test_a_name_that_means_something_else_is_refused(name: str) -> None:
    before = dict(PENALTIES)
    with pytest.raises(dn.DropNeuronError, match=f"^penalty Mine: the name '{name}' means something else"):
        dn.register_penalty(type("Mine", (dn.L1,), {"name": name}))
    assert before == PENALTIES
