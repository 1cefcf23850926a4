"""Command lines: parsed, checked, their paths made to hold elsewhere, and how a command ends."""
