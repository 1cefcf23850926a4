"""Paddle Inference under the names that benchmarks/delivered imports."""

from trainables.deployment.engines.paddle_inference import PaddleEngine as Engine
from trainables.deployment.exported import MODEL_FILE, WEIGHTS_FILE, size_bytes

__all__ = ["MODEL_FILE", "WEIGHTS_FILE", "Engine", "size_bytes"]
