"""The tasks that come with the search; each is a model, its data and its metric.

fashion_mnist/       the built-in problem, which runs when no task is named
classification.py    a user's images, and a network of paddle.vision or PaddleClas
exported/            any exported model, without its code and without labels
paddleclas/          PaddleClas's configuration files: classification
paddleseg/           PaddleSeg's: segmentation
paddledetection/     PaddleDetection's: YOLOv3, PP-YOLO, Faster and Mask R-CNN
paddleocr/           PaddleOCR's: text detection by DB
image_classifier.py  shared by the classification tasks
config_file.py       reading a toolkit's configuration file
"""
