"""PaddleDetection's detectors, from its own configuration files."""
