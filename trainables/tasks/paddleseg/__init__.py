"""PaddleSeg's segmentation models, from its own configuration files."""
