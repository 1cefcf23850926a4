"""Commands: their parsers, configuration, errors and signals, and the work behind some of them."""
