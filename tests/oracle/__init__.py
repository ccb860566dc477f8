"""The oracle: what the store must hold, from the list of what was published alone.

Written from docs/reference/, importing nothing of `flows`, and on purpose in another way: it
looks at everything at once, cuts time into pieces in which nothing changes, and sums pieces exactly.
"""
