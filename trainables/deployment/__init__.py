"""Engines that run an exported model, and the export itself."""
