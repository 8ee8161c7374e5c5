"""Whether a store is there and can be used, whichever kind it is: what commands check before they begin."""

from tracking.errors import StoreError
from tracking.store import embedded, remote
from tracking.store.location import StoreLocation, locate


def locate_answering(tracking_uri: str | None) -> StoreLocation:
    """Return where the store is. StoreError where it is a server that does not answer, or not to us."""
    location = locate(tracking_uri)
    check_answers(location)
    return location


def locate_existing(tracking_uri: str | None) -> StoreLocation:
    """Return where the store is. StoreError where there is none yet."""
    location = locate_answering(tracking_uri)
    check_exists(location)
    return location


def check_answers(location: StoreLocation) -> None:
    """StoreError where a server does not answer, or not to us, or a file is no store."""
    if location.database is None:
        remote.check_server(location)
    elif location.database.exists():
        embedded.check_is_store(location.database)


def check_exists(location: StoreLocation) -> None:
    """StoreError where an embedded store has not been made."""
    if not exists(location):
        raise StoreError(f"there is no store at {location.database}; run `dn sweep FILE` in this folder first")


def exists(location: StoreLocation) -> bool:
    """Return whether an embedded store has been made; True for a server."""
    return location.database is None or location.database.is_file()
