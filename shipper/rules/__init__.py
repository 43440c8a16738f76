"""What the labels of a container ask for: its lines parsed, joined, hidden, thinned, measured and routed.

`table` reads labels into values, `chain` makes the steps that they ask for, and each step works on `rows`, the lines of
one read as columns. A container without such labels has no chain, and its lines never come here.
"""
