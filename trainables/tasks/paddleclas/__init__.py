"""PaddleClas's classifiers, from its own configuration files."""
