"""What ``dn`` returns to the shell."""

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Done; some of the work failed; the input is wrong; interrupted by Ctrl-C; by another signal: 128 and its number."""
