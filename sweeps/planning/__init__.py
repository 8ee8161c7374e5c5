"""From a sweep file to packs of replicates: what has to be trained that the store does not hold."""
