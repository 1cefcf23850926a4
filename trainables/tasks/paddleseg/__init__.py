"""PaddleSeg's segmentation models, from the toolkit's own configuration files.

task.py    the task: configuration, network, batches
data.py    the toolkit's data sets, at the engine's input size
input.py   validation transforms: from an image file to the network's input
losses.py  the toolkit's losses, on Paddle 3
"""
