"""The script of a page: Vega, Vega-Lite and Vega-Embed in one with ours, from what ``vl-convert`` brings along."""

import re
from functools import cache
from importlib.resources import files


@cache
def script() -> str:
    """Return the JavaScript: about 900 kB, made in about a second; it asks the network for nothing."""
    import vl_convert

    own = files("tracking.charts").joinpath("charts.js").read_text(encoding="utf-8")
    bundle: str = vl_convert.javascript_bundle(own)
    # Nothing in it may end the element that it stands in.
    return re.sub("</(?=script)|<(?=!--)", lambda found: found[0].replace("<", r"\x3c"), bundle, flags=re.IGNORECASE)
