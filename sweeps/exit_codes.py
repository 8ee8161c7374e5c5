"""What ``dn`` returns to the shell."""

OK, FAILED, INTERRUPTED = 0, 1, 130
"""Done; some of the work failed; interrupted by Ctrl-C; by another signal: 128 and its number."""
