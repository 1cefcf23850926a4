"""PaddleOCR's text detectors (DB) and recognisers (CRNN), from the toolkit's configuration files.

task.py          which of the two a configuration is
architecture.py  the networks that can be searched
splits.py        the data sets that a configuration names
mobilenet_v3.py  the blocks of both networks

detection.py     the detector's task: configuration, batches
images.py        what a configuration does to images, a detector's size
db_network.py    the network: MobileNetV3, feature pyramid, DB head
db_loss.py       the loss
db_targets.py    the maps that the loss compares with

recognition.py   the recogniser's task: configuration, batches
line_input.py    what a configuration does to images of lines
crnn_network.py  the network: MobileNetV3, recurrent layers, CTC head
ctc.py           the loss

The dictionary is in trainables/data/characters.py, the metrics are in trainables/metrics.
"""
