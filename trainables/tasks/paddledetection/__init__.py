"""PaddleDetection's detectors, from the toolkit's own configuration files.

task.py          chooses the task of a configuration's architecture
base.py          the task's base class: data, metric, batches
config.py        the configuration files, read as the toolkit reads them
reader.py        EvalReader: from an image file to the network's input
yolo.py          YOLOv3 and PP-YOLO: the task
yolo_network.py  their network, up to the head's maps
yolo_boxes.py    their boxes, computed from the maps in numpy
rcnn.py          Faster and Mask R-CNN: the task, the searched trunk and the fixed heads
"""
