"""Random generators derived from a replicate's seed by name.

Every draw has a name and an index ("order" of epoch 3), so a generator never has to be saved: it is made
again from its seed, name and index. Adding a new kind of draw moves none of the others.
"""

import hashlib

import torch


def derive(seed: int, name: str, index: int = 0) -> int:
    """Return the 63-bit seed of the draw ``name``, number ``index``, of the replicate ``seed``."""
    digest = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, name: str, index: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator for the draw ``name``, number ``index``, of the replicate ``seed``."""
    return torch.Generator(device).manual_seed(derive(seed, name, index))
