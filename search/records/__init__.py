"""What a run leaves: its folder, here and on storage, its tables, ledger and manifest."""
