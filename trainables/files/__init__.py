"""Files that workers read and write: whole or not at all, typed, cached by content."""
