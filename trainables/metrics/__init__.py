"""Metrics a task may use, and the two numbers the search makes of any metric."""

from trainables.metrics.metric import (
    MeanIoU,
    TopOneAccuracy,
    loss_standard_error,
    metric_value,
    relative_loss,
)

__all__ = ["MeanIoU", "TopOneAccuracy", "loss_standard_error", "metric_value", "relative_loss"]
