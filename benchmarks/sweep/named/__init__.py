"""Some of the toolkits' files, each from training to a delivered model."""
