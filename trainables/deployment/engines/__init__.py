"""Engines: what runs exported models, a file each behind one protocol."""
