"""The stages of a study, a file each, in the order of search/study.py.

A stage is a function of the study and of what earlier stages found. It asks workers, persists what
they find, so that a resumed study does not ask again, and says it. No stage imports another.
"""
