"""A sweep as one file that leaves a machine: exported, checked, and imported into another store."""
