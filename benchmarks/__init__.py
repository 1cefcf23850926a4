"""What `make bench`, `make models`, `make searches` and `make configs` run."""
