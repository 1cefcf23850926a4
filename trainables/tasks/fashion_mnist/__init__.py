"""Fashion-MNIST classification: the problem that runs when no task is named."""
