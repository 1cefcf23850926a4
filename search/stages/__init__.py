"""The stages of a study, a file each, in the order of search/study.py.

A stage is a function of the study and of what earlier stages found. It asks workers, persists what
they find, so that a resumed study does not ask again, and says it. No stage imports another.
"""

from search.stages.baseline import measure_baseline, say_baseline
from search.stages.deliver import deliver
from search.stages.latency import time_shapes
from search.stages.references import time_references
from search.stages.retrain import retrain_winner
from search.stages.search import search_plans
from search.stages.sensitivity import measure_sensitivities

__all__ = [
    "deliver",
    "measure_baseline",
    "measure_sensitivities",
    "retrain_winner",
    "say_baseline",
    "search_plans",
    "time_references",
    "time_shapes",
]
