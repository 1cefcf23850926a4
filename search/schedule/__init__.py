"""How long a run takes: estimates, and what fits into the time until its deadline."""
