"""PaddleOCR's text detectors (DB), from its own configuration files."""
