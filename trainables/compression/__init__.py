"""Pruning and quantization of one model.

graph/              the dependency graph: which channels must be removed together
pruner.py           removes channels from a model, and restores it
pruning.py          a plan's ratios applied to a model
importance.py       how important a channel is, by criterion
sensitivity.py      the metric's drop when one group is pruned
quantization.py     a plan's quantization applied to a model, and its export
slim.py             the only user of PaddleSlim
folding.py          constant folding in an exported program
biases.py           biases that a following batch norm cancels
reparametrized.py   weight norm and spectral norm turned into plain weights
"""
