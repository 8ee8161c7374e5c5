"""A sweep as one file that leaves a machine: exported, checked, and imported into another store.

``export`` writes the file and reads it back; ``import_file`` uses nothing of one before all of it is checked.
"""

from typing import TYPE_CHECKING

from dn_distributed.lazy_names import lazy_names

if TYPE_CHECKING:
    from tracking.portable.exporting import export as export
    from tracking.portable.importing import import_file as import_file

__getattr__, __dir__ = lazy_names(__name__, {"exporting": ("export",), "importing": ("import_file",)})
