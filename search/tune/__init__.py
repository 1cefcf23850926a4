"""Ray Tune's and Optuna's side of a search: which plan is next, and when a trial ends."""
