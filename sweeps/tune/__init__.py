"""Packs run as trials of Ray Tune: training, recording, progress, checkpoints."""
