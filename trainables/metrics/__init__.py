"""Metrics for tasks, and a metric's relative loss with its standard error."""

from trainables.metrics.metric import (
    MeanIoU,
    TopOneAccuracy,
    loss_standard_error,
    metric_value,
    relative_loss,
)

__all__ = ["MeanIoU", "TopOneAccuracy", "loss_standard_error", "metric_value", "relative_loss"]
