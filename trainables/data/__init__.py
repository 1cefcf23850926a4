"""Data sets as users bring them: lists, folders and annotation files, read and checked."""
