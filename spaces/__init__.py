"""Plans, the space they come from, and how they are chosen.

Imports only the standard library and numpy; all other packages may import this one.
"""
