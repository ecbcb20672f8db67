"""Origins of web pages and names of hosts: reading them from settings, as browsers write them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9_-]+(\.[a-z0-9_-]+)*)(:[1-9][0-9]{0,4})?"
)
_HOST_NAME = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def read_origin(text: str) -> str:
    """Return an origin such as `https://app.example`: in lower case, without a default port.

    Raises:
        ValueError: the text is not an origin, for example because it has a path.
    """
    if not text.isascii() or not _ORIGIN.fullmatch(text.lower()):
        raise ValueError(text)
    _ = urlsplit(text).port  # raises ValueError if it is above 65535
    return origin_of(text)


def origin_of(url: str) -> str:
    """Return the origin of an http or https URL."""
    parts = urlsplit(url.lower())
    default_port = f":{_DEFAULT_PORTS.get(parts.scheme)}"
    return f"{parts.scheme}://{parts.netloc.removesuffix(default_port)}"


def read_host_name(text: str) -> str:
    """Return a host name in lower case; a leading dot stands for the name and its subdomains.

    Raises:
        ValueError: the text is not a host name, for example because it has a port.
    """
    if not text.isascii() or not _HOST_NAME.fullmatch(text.lower()):
        raise ValueError(text)
    return text.lower()
