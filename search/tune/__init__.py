"""Ray Tune's and Optuna's side of a search: which plan is tried next, and when a trial ends."""
