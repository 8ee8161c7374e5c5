"""Keys of a sweep file that set several coefficients at once. Apart, as reports name them and do not wait for torch."""

SHORTHANDS: dict[str, tuple[str, ...]] = {
    "dn": ("dn_incoming", "dn_outgoing"),
    "l2_as_scripted": ("l2_but_last", "l1_of_last"),
}
