"""PaddleOCR's text detectors (DB), from the toolkit's own configuration files.

task.py          the task: configuration, Label.txt, batches
images.py        what the configuration does to images
db_network.py    the network: MobileNetV3, feature pyramid, DB head
db_loss.py       the loss
db_targets.py    the maps that the loss compares with
"""
