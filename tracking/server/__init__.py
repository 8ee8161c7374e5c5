"""The tracking server of a cluster: MLflow's server behind a login, its PostgreSQL, and what it refuses.

``settings`` reads options and environment and refuses what would be open to others; ``run`` serves until a signal.
"""

from typing import TYPE_CHECKING

from dn_distributed.lazy_names import lazy_names

if TYPE_CHECKING:
    from tracking.server.supervisor import Settings as Settings
    from tracking.server.supervisor import run as run
    from tracking.server.supervisor import settings as settings

__getattr__, __dir__ = lazy_names(__name__, {"supervisor": ("Settings", "run", "settings")})
