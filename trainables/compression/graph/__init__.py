"""The dependency graph: which channels of which parameters must shrink together."""
