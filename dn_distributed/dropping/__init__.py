"""Units that leave a network while it trains: which ones, what takes their place, and the smaller tensors."""
