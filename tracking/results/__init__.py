"""What the store holds of a sweep, as values: replicates, cells, fronts, statistics. Numbers, no text."""
