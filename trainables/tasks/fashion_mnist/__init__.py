"""Fashion-MNIST classification: the problem that runs when no task is named.

task.py            the task
network.py         the residual network
build_dataset.py   rebuilds data/fashion_mnist.parquet
train_baseline.py  trains data/baseline.safetensors
"""
