"""Everything that touches a GPU, run on a machine that has one, and a report of it."""
