"""What can be searched: plans, the space they come from, and the plans known beforehand.

Standard library and numpy only; everything else may depend on this package.
"""
