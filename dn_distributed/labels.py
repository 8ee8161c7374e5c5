"""Words of tables and reports about methods, in a module that imports no torch."""

SHORTHANDS: dict[str, tuple[str, ...]] = {
    "dn": ("dn_incoming", "dn_outgoing"),
    "l0": ("l0_inputs", "l0_filters", "l0_units"),
    "l2_as_scripted": ("l2_but_last", "l1_of_last"),
}
"""Keys of a sweep file that set several coefficients at once."""

EQUAL_ERRORS = 1e-9
"""Of the baselines: validation errors (NMSE) this close are equals; without noise, rounding would decide."""
BASELINE_RULE = (
    "for each seed the sparsest solution of its path (LASSO: 100 penalties down to a thousandth of the largest that "
    "keeps anything; OMP: every number of features) within 1e-9 of the path's lowest validation error; networks have "
    "one configuration for all seeds"
)
"""How many coefficients they keep; 1e-9 is ``EQUAL_ERRORS``."""
