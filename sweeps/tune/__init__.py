"""Packs run as trials of Ray Tune: training, recording, progress, checkpoints.

In the driver ``runner`` goes round by round: what is missing runs as ``experiment``s of Tune, whose ``callbacks`` tell
``progress`` and ``recording`` how packs fare. In a worker Tune calls ``trial``, and ``pack_training`` trains.
"""
