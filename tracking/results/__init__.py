"""What the store holds of a sweep, as values: replicates, cells, fronts, statistics. Numbers, no formatted text.

``cells.gather`` makes cells and methods of the rows that ``rows.read`` returns; a ``cells.Stat`` is a quantity over a
cell's seeds.
"""
