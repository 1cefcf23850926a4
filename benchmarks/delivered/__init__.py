"""Whole flows side by side, from the baseline to the delivered model, with equal processor time.

problems.py    the problems: task, budget, lengths of training
exported.py    models that were exported elsewhere, and images for them
model.py       what a flow returns, and the protocol of a method
processor.py   processor seconds of a process and all its descendants
workshop.py    training, quantization and measurement that the compared methods share
methods/       one flow a file
cell.py        one method on one problem with one seed, in a process of its own
judging.py     all delivered models of a problem evaluated and timed together (jury.py)
ocr.py         PP-OCR's published models: the command, and its table
figures.py     the figures of bench/summary.json, and the table
"""
