"""The tasks that come with the search; each is a model, its data and its metric."""
