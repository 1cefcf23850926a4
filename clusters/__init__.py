"""Where a study runs: finding Ray, sharing a device, paddle's own data parallelism."""
