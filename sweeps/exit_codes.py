"""What ``dn`` returns to the shell."""

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Done; some of the work failed; the input or its place is wrong; ended by a signal."""
