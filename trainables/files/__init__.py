"""Files that workers read and write: atomically, typed, cached by content."""
