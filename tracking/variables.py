"""Every environment variable that belongs to this project, and two of MLflow's that it asks a user to set.

A secret may also stand in a file, which the same name with ``_FILE`` at its end names.
"""

TRACKING_URI = "DN_TRACKING_URI"
"""Address of the store, where ``--tracking-uri`` is not given: ``http://HOST:PORT``, or ``sqlite:///PATH``."""
TRACKING_USER = "MLFLOW_TRACKING_USERNAME"
"""User of a tracking server. MLflow's client reads it too."""
TRACKING_PASSWORD = "MLFLOW_TRACKING_PASSWORD"
"""Password of that user. MLflow's client reads it too."""
TRACKING_PASSWORD_FILE = "DN_TRACKING_PASSWORD_FILE"
"""File with that password, in its place: the environment is inherited by every process of a sweep."""
DATA_DIR = "DN_DATA_DIR"
"""Folder of the image datasets, where ``--data-dir`` is not given; else it is ``./data``."""

SERVER_USER = "DN_SERVER_USER"
"""``dn server``: user who may log in; ``admin`` where it is not set."""
SERVER_PASSWORD = "DN_SERVER_PASSWORD"
"""``dn server``: password of that user (or ``_FILE``). Without one only this machine is served, to whoever calls."""
DATABASE_URL = "DN_DATABASE_URL"
"""``dn server``: a PostgreSQL of the user's own (or ``_FILE``); else the server runs one."""
DATABASE_PASSWORD = "DN_DATABASE_PASSWORD"
"""``dn server``: the password of that database (or ``_FILE``), where the address has none."""

DRIVER_MARK = "DN_DRIVER"
"""Set by a driver for the processes that it starts: they are found by it, whoever their parent is now."""
SERVER_MARK = "DN_SERVER_FOLDER"
"""Set by ``dn server`` for the processes that it starts: its folder."""

UI_STORE = "DN_UI_STORE"
"""Set by ``dn ui`` and ``dn server`` for their server: the address of the store that its pages are made from."""
UI_FOLDER = "DN_UI_FOLDER"
"""Set by ``dn ui`` and ``dn server`` for their server: a folder for these pages."""

PREFIX = "DN_"
