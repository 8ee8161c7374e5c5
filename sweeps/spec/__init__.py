"""Sweep files: what a user may write, read as typed values, with the line of every error."""
