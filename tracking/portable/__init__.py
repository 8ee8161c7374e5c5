"""A sweep as one file that leaves a machine: exported, checked, and imported into another store.

``exporting.export`` writes the file and reads it back; ``importing.import_file`` uses nothing of one before all of it
is checked.
"""
