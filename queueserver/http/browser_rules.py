"""Rules for browsers: which web pages may use the server, and by which host names.

A browser sends requests for every page that its user opens, also to servers that only this machine
can reach, and the server accepts requests without a signature. So it rejects, on every path:

- requests of a page of another origin, unless `--cors-origins` lists the origin. Such a page could
  change queues even if it cannot read the response.
- on a loopback address, requests for a host name that may be a stranger's. By DNS rebinding, such a
  name leads to this server, and its pages then have the server's own origin.

Clients other than browsers send none of the headers `Origin` and `Sec-Fetch-Site`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from aiohttp import hdrs

from queueserver.config import Config
from queueserver.http.binding import is_loopback
from queueserver.origins import origin_of

log = logging.getLogger(__name__)

_SEC_FETCH_SITE = "Sec-Fetch-Site"
"""Relation of the page to the server: same-origin, same-site, cross-site, or none without a page.

Browsers send it to https and to loopback addresses only. No page can set it.
"""

_REQUEST_HEADERS = (
    "authorization, content-type, x-amz-content-sha256, x-amz-date, x-amz-security-token, "
    "x-amz-target, x-amz-user-agent, x-amzn-query-mode, amz-sdk-invocation-id, amz-sdk-request"
)
"""The headers that the AWS SDK for JavaScript sends."""

_RESPONSE_HEADERS = "x-amzn-RequestId, x-amzn-query-error, Date, Retry-After"
"""The headers that the AWS SDK for JavaScript reads: Date corrects its clock."""

_PREFLIGHT_SECONDS = 7_200
"""Time for which a browser caches a preflight's response (Chromium: at most 7,200)."""

_SQS_HOST = re.compile(
    r"(sqs(-fips)?\.[a-z0-9-]+|([a-z0-9-]+\.)?queue)\.(amazonaws\.com(\.cn)?|api\.aws)"
)
"""SQS's own names, which an operator can direct to this server."""

_LOCAL_NAMES = (".localhost", ".localhost.localstack.cloud")

_CACHED_HOSTS = 1_000
"""The most values of Host that are cached as served; at the limit, the cache is emptied."""

_LONGEST_NAME = 300
"""The most characters of a Host or Origin that are cached or shown (DNS: 253 for a name)."""

_LOGGED_NAMES = 100
"""The most rejected hosts and origins that are logged, so a stranger cannot fill the log."""

_OTHER_PAGE = (
    "The request comes from a web page of another origin, which is not allowed. The setting "
    "--cors-origins lists the origins whose pages may call the API."
)
_UNKNOWN_PAGE = (
    "The browser does not say which web page the request comes from, so it is not allowed. "
    "Browsers say so for localhost and for https addresses only: open one of these instead."
)


class BrowserRules:
    """Decides which requests the server answers, by their headers."""

    def __init__(self, config: Config) -> None:
        self._cors_origins = frozenset(config.cors_origins)
        own_names = [name.lower() for name in config.host]
        self.has_cors_origins = bool(self._cors_origins)
        """Whether responses need the headers of `cors_headers`."""
        self.lines_without_origin = "Vary: Origin\r\n" if self._cors_origins else ""
        """The headers of `cors_headers` as lines, for the response to a request without Origin."""
        self._public_origin = ""
        if config.public_url is not None:
            self._public_origin = origin_of(config.public_url)
            own_names.append(urlsplit(config.public_url).hostname or "")
        names = (*own_names, *config.allowed_hosts, *_LOCAL_NAMES)
        self._domains = tuple(name for name in names if name.startswith("."))
        self._names = frozenset(name.removeprefix(".") for name in names)
        self._always_checks_hosts = bool(config.allowed_hosts)
        self._checks_hosts = True
        # The same names as text and as bytes.
        self._served_hosts: set[str] = set()
        self._served_host_bytes: set[bytes] = set()
        self._logged: set[str] = set()

    def listen_on(self, addresses: Iterable[str]) -> None:
        """Check host names only if all these addresses are loopback, or names are configured.

        `addresses` are the IP addresses that the server has bound. Beyond this machine, a server
        has names that it cannot know.
        """
        self._checks_hosts = self._always_checks_hosts or all(map(is_loopback, addresses))
        self._clear_served_hosts()

    def rejection(
        self, method: str, path: str, headers: Mapping[str, str], *, is_behind_proxy: bool = False
    ) -> str | None:
        """Return why a request is rejected, as a text for its sender; None if it is answered.

        `headers` finds a name in any case. X-Forwarded-Host counts if `is_behind_proxy`.
        """
        host = headers.get(hdrs.HOST, "")
        if host not in self._served_hosts and not self._serves(host):
            return self._reject_host(host)
        origin = headers.get(hdrs.ORIGIN)
        site = headers.get(_SEC_FETCH_SITE)
        if origin is None and site is None:
            is_from_page = method != hdrs.METH_POST and _may_be_from_page(path, headers)
            return _UNKNOWN_PAGE if is_from_page else None
        if origin in self._cors_origins:
            return None
        if origin is not None and not self._is_own(origin, headers, is_behind_proxy):
            return self._reject_origin(origin)
        if site is not None and site not in {"same-origin", "none"}:
            return _OTHER_PAGE
        return None

    def permits_host(self, host: bytes) -> bool:
        """Return whether a request with this Host was permitted before."""
        return host in self._served_host_bytes

    def is_preflight(self, method: str, headers: Mapping[str, str]) -> bool:
        """Return whether a request that is not rejected asks what a listed origin may send."""
        return method == hdrs.METH_OPTIONS and headers.get(hdrs.ORIGIN) in self._cors_origins

    def cors_headers(self, method: str, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers by which a browser gives a response to a page of a listed origin."""
        origin = headers.get(hdrs.ORIGIN)
        if origin is None or origin not in self._cors_origins:
            return {"Vary": "Origin"}
        cors = {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _RESPONSE_HEADERS,
        }
        if method == hdrs.METH_OPTIONS:
            cors["Access-Control-Allow-Methods"] = "GET, POST"
            cors["Access-Control-Allow-Headers"] = _REQUEST_HEADERS
            cors["Access-Control-Max-Age"] = str(_PREFLIGHT_SECONDS)
        return cors

    def _serves(self, host: str) -> bool:
        """Return whether the server answers for the value of a Host header; cache it if so."""
        if self._checks_hosts and not self._is_known(_name_in(host)):
            return False
        if len(host) <= _LONGEST_NAME:
            if len(self._served_hosts) >= _CACHED_HOSTS:
                self._clear_served_hosts()
            self._served_hosts.add(host)
            self._served_host_bytes.add(host.encode(errors="surrogateescape"))
        return True

    def _clear_served_hosts(self) -> None:
        self._served_hosts.clear()
        self._served_host_bytes.clear()

    def _is_known(self, name: str) -> bool:
        """Return whether a host name cannot be a stranger's.

        No stranger has a name of one label such as `queue`, or an IP address: a browser takes a
        name whose last label is a number as an address.
        """
        return (
            "." not in name
            or name.rpartition(".")[2].isdecimal()
            or name.startswith("[")
            or name in self._names
            or name.endswith(self._domains)
            or _SQS_HOST.fullmatch(name) is not None
        )

    def _is_own(self, origin: str, headers: Mapping[str, str], is_behind_proxy: bool) -> bool:
        """Return whether an origin is that of the address which the request was sent to."""
        scheme, _, address = origin.partition("://")
        addresses = {headers.get(hdrs.HOST, "").lower()}
        if is_behind_proxy:
            forwarded_host = headers.get(hdrs.X_FORWARDED_HOST, "").partition(",")[0].strip()
            addresses.add(forwarded_host.lower())
        is_addressed = scheme in {"http", "https"} and address != "" and address in addresses
        return is_addressed or origin == self._public_origin

    def _reject_host(self, host: str) -> str:
        name = _shown(_name_in(host))
        if self._is_first(f"host {name}"):
            log.warning(
                "rejecting requests for an unknown host name with 403; if it is a name of this "
                "server, add it to --allowed-hosts: host=%s",
                name,
            )
        return (
            f"The host name {name} is not allowed. If it is a name of this server, add it to the "
            "setting --allowed-hosts (.example.com stands for example.com and its subdomains)."
        )

    def _reject_origin(self, origin: str) -> str:
        if origin == "null":
            return "The request comes from a web page without an origin, which is not allowed."
        shown = _shown(origin)
        if self._is_first(f"origin {shown}"):
            log.warning(
                "rejecting requests of web pages of another origin with 403; to allow them, add "
                "the origin to --cors-origins: origin=%s",
                shown,
            )
        return (
            f"Web pages of {shown} are not allowed to use this server. "
            "To allow them, add the origin to the setting --cors-origins."
        )

    def _is_first(self, name: str) -> bool:
        """Return whether a rejected name must be logged: once, and not beyond the limit."""
        if name in self._logged or len(self._logged) >= _LOGGED_NAMES:
            return False
        self._logged.add(name)
        return True


def _may_be_from_page(path: str, headers: Mapping[str, str]) -> bool:
    """Return whether a request other than a POST may be that of a page of any origin.

    For an image or a link, a browser sends no Origin, and to plain HTTP beyond this machine no
    Sec-Fetch-Site either. A GET of the health endpoint changes nothing.
    """
    is_browser = headers.get(hdrs.USER_AGENT, "").startswith("Mozilla/")
    return is_browser and hdrs.ACCEPT_LANGUAGE in headers and path != "/health"


def _name_in(host: str) -> str:
    """Return the host name in the value of a Host header: in lower case, without the port."""
    return re.sub(r":[0-9]*\Z", "", host.lower()).removesuffix(".")


def _shown(text: str) -> str:
    """Return the text of a header for a response or a log line: ASCII, and not too long."""
    return text[:_LONGEST_NAME].encode("ascii", "backslashreplace").decode()[:_LONGEST_NAME]
