"""The dependency graph: which channels of which parameters must be removed together.

tracing.py       the operators that a model runs
sizes.py         sizes that a model computes while it is traced
modes.py         Paddle's static and dynamic mode
labels.py        labels of channels, bound together or excluded
rules.py         the interface of an operator's rule
operators.py     rules of operators that compute
layout.py        rules of operators that only rearrange values
layers.py        the layers' costs, and the groups that narrow them
dependency.py    channel groups, from the labels
groups.py        pruning groups: channel groups that passed verification
verification.py  whether two models give the same outputs
"""
