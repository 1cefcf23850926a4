"""Pruning and quantization of one model."""
