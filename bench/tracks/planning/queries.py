"""How many cells a query is the mean of."""

#: Cells in a query.
BAGS = (1, 5, 20, 100)
#: The bag that boards rank by.
USUAL = 20
