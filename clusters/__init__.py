"""Where a study runs: Ray, its nodes and their working folder, storage, the lease of a device,
and Ray Train's backend for Paddle."""
