"""PaddleClas's classifiers, from the toolkit's own configuration files.

task.py      the task: configuration, lists of images, losses
images.py    what the configuration does to images
networks.py  networks built by PaddleClas's wheel
"""
