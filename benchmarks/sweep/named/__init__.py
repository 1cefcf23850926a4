"""Some of the toolkits' own files, each seen through to a delivered model."""
