"""One training loop for every task, device and method."""
