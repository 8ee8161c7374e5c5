"""Proxies that the environment names: this machine is called without one, and what answers through one is named."""

import os
from collections.abc import MutableMapping
from urllib.parse import urlsplit

_LOOPBACK = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1")
_NO_PROXY = ("no_proxy", "NO_PROXY")
_PROXIES = tuple(name for kind in ("http", "https", "all") for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY"))


def spare_loopback(variables: MutableMapping[str, str]) -> None:
    """Have no client, of this process and of those that inherit the variables, call this machine through a proxy."""
    if not any(variables.get(name) for name in _PROXIES):
        return
    given = next((variables[name] for name in _NO_PROXY if variables.get(name)), "")
    names = [name for name in given.split(",") if name.strip()]
    together = ",".join([*names, *(name for name in _LOOPBACK if name not in names)])
    variables.update(dict.fromkeys(_NO_PROXY, together))


def through(address: str) -> str | None:
    """Return by which proxy MLflow's client calls an address, and how to do without, as a clause; None: directly."""
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(address, get_environ_proxies(address))
    if not proxy:
        return None
    variable = next((name for name in _PROXIES if os.environ.get(name) == proxy), "the environment")
    netloc = urlsplit(proxy if "://" in proxy else f"//{proxy}").netloc.rpartition("@")[2]  # without its password
    host = urlsplit(address).hostname
    return f"asked through the proxy {netloc} of {variable}; to call it directly: no_proxy={host}"
