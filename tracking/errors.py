"""What is told to the user in one line."""


class StoreError(Exception):
    """The store cannot be used; the message says why and what to do."""
