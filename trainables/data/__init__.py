"""Data sets of images: read, checked before a trial starts, and turned into a model's input.

classification.py   images with a class: PaddleClas's lists, ImageNet's folders
detection.py        images with boxes: COCO's JSON, VOC's XML
segmentation.py     images with a mask
text.py             images with lines of text: PaddleOCR's Label.txt
splitting.py        validation and test split from one list
lines.py            text files with one sample per line
problems.py         all faults of a data set, collected and raised once
images.py           image files read, measured and checked
image_input.py      how an image file becomes a model's input, as data
preparing.py        the same, computed
image_batches.py    batches of images with a class
"""
