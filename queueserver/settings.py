"""The settings: each one's name, default, help text and allowed values, declared once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from queueserver.access.modes import AccessMode
from queueserver.encryption.modes import EncryptionMode
from queueserver.identity.proxies import read_network
from queueserver.origins import read_host_name, read_origin
from queueserver.rules.limits import MAXIMUM_IN_FLIGHT

T = TypeVar("T")


class Setting(msgspec.Struct, frozen=True):
    """The declaration of one setting.

    `read` converts a text to the value, or raises ValueError; `allowed` describes the texts that it
    accepts. A `switch` is a flag without a value. A list is a text with commas, a flag that is
    given several times, or an array in the file. `in_file` is False for the file's own path.
    `hides_text` keeps a text that is not accepted out of the error: it may be a key.
    `unset` is the value if there is no default, and `unset_text` says in the help what it is.
    """

    name: str
    default: str | None
    help: str
    allowed: str
    read: Callable[[str], object]
    switch: bool = False
    is_list: bool = False
    in_file: bool = True
    hides_text: bool = False
    unset: object = None
    unset_text: str = "none"

    @property
    def default_text(self) -> str:
        """The default as the help shows it."""
        return self.unset_text if self.default is None else self.default

    @property
    def flag(self) -> str:
        """The name of the flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The name of the environment variable."""
        return "QUEUESERVER_" + self.name.upper()


_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def _matching(pattern: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return read


def _choice(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        return choices[choices.index(text.lower())]

    return read


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
            raise ValueError(text)
        return int(text)

    return read


def _list(read: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Read values that commas separate, each of them once."""

    def read_list(text: str) -> tuple[T, ...]:
        return tuple(dict.fromkeys(map(read, re.split(", *", text))))

    return read_list


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,3})?", text) or not 0.05 <= float(text) <= 20:
        raise ValueError(text)
    return float(text)


def _switch(text: str) -> bool:
    word = text.lower()
    if word not in _BOOLEANS:
        raise ValueError(text)
    return _BOOLEANS[word]


def _path(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError(text)
    return text


def _access_mode(text: str) -> AccessMode:
    return AccessMode(text.lower())


def _encryption_mode(text: str) -> EncryptionMode:
    return EncryptionMode(text.lower())


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def _public_url(text: str) -> str:
    # A query, a fragment or a password would be a part of every queue URL.
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError(text)
    if re.search(r"[?#@\s\x00-\x1f]", text):
        raise ValueError(text)
    return text.rstrip("/")


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "host",
        "127.0.0.1",
        "addresses to listen on; :: is IPv4 and IPv6",
        "a host name or an address, or several with commas between them",
        _list(_matching(r"[A-Za-z0-9._:%-]+")),
        is_list=True,
    ),
    Setting(
        "port",
        "9324",
        "ports to listen on, on each address; 0 picks a free port",
        "a number from 0 to 65535, or several with commas between them",
        _list(_whole(0, 65_535)),
        is_list=True,
    ),
    Setting(
        "database",
        "sqlite:///queueserver.db",
        "where queues and messages are stored; sqlite:// alone keeps them in memory",
        "sqlite:///PATH, sqlite:// or postgresql://USER:PASSWORD@HOST:PORT/NAME",
        _matching(r"sqlite://(/[^\r\n]+)?|postgresql://[^\s]+"),
    ),
    Setting(
        "config",
        None,
        "TOML file with settings, and with queues that must exist at start",
        "the path of a readable TOML file",
        Path,
        in_file=False,
    ),
    Setting(
        "account",
        "000000000000",
        "account of requests whose access key is not a 12-digit account ID",
        "12 digits",
        _matching(r"[0-9]{12}"),
    ),
    Setting(
        "region",
        "us-east-1",
        "region of requests that name none in the host name or the signature",
        "lower-case letters, digits and hyphens, such as us-east-1",
        _matching(r"(?=.{1,63}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*"),
    ),
    Setting(
        "public_url",
        None,
        "base of the queue URLs that the server returns; if unset, the address in the request",
        "an http or https URL without user, query or fragment",
        _public_url,
    ),
    Setting(
        "allowed_hosts",
        None,
        "names of this server in requests, besides localhost, addresses and names without a dot",
        "a list of host names such as queue.example.com,.example.org, without ports",
        _list(read_host_name),
        is_list=True,
        unset=(),
    ),
    Setting(
        "cors_origins",
        None,
        "origins of the web pages that may call the API from a browser",
        "a list of origins such as https://app.example,http://localhost:5173, without paths",
        _list(read_origin),
        is_list=True,
        unset=(),
    ),
    Setting(
        "tls_cert",
        None,
        "serve HTTPS with this certificate, and those of its intermediate issuers behind it",
        "the path of a PEM file",
        _path,
    ),
    Setting(
        "tls_key",
        None,
        "private key of the certificate; if unset, it is in the file of the certificate",
        "the path of a PEM file that no other user can read",
        _path,
    ),
    Setting(
        "tls_client_ca",
        None,
        "accept only clients with a certificate of one of the issuers in this file",
        "the path of a PEM file",
        _path,
    ),
    Setting(
        "tls_port",
        None,
        "ports that speak HTTPS, while those of --port speak HTTP; if unset, --port speaks HTTPS",
        "a number from 0 to 65535, or several with commas between them",
        _list(_whole(0, 65_535)),
        is_list=True,
        unset=(),
    ),
    Setting(
        "trusted_proxies",
        None,
        "reverse proxies whose X-Forwarded headers say who the client is",
        "a list of addresses and networks such as 10.0.0.0/8,fd00::/8",
        _list(read_network),
        is_list=True,
        unset=(),
    ),
    Setting(
        "access",
        None,
        "check signatures and policies; log only reports rejections",
        "off, log or on",
        _access_mode,
        unset_text="on with users, else off",
    ),
    Setting(
        "encryption",
        None,
        "encrypt stored messages: on in queues with SSE, always in all; required rejects others",
        "on, always, required or off",
        _encryption_mode,
        hides_text=True,
        unset_text="on with keys, else off",
    ),
    Setting(
        "encryption_key_file",
        None,
        "file with the keys of the encryption, lines of NAME:BASE64; the first one encrypts",
        "the path of a file that no other user can read",
        _not_empty,
        hides_text=True,
    ),
    Setting(
        "encryption_key_command",
        None,
        "command that prints such lines, without a shell, at the start and at a reload",
        "a command with its arguments",
        _not_empty,
        hides_text=True,
    ),
    Setting(
        "loose_secret_files",
        "false",
        "accept files of secrets that their group or other users can access",
        "true or false",
        _switch,
        switch=True,
    ),
    Setting(
        "cooldowns",
        "false",
        "enforce AWS's 60 s waits: between two purges, and before a deleted queue's name is reused",
        "true or false",
        _switch,
        switch=True,
    ),
    Setting(
        "in_flight_limit",
        str(MAXIMUM_IN_FLIGHT),
        "maximum number of messages in flight per queue (AWS: 120,000)",
        "a number from 1 to 1000000000",
        _whole(1, 1_000_000_000),
    ),
    Setting(
        "connection_limit",
        "16000",
        "maximum number of open client connections; 1000 more get 503, and others are closed",
        "a number from 1 to 1000000",
        _whole(1, 1_000_000),
    ),
    Setting(
        "pending_limit",
        "10000",
        "maximum number of writes, and of reads, that wait for the database; more are throttled",
        "a number from 1 to 1000000",
        _whole(1, 1_000_000),
    ),
    Setting(
        "buffer_mib",
        "128",
        "MiB of memory each for open requests, pending writes, slow senders and slow readers",
        "a number from 16 to 1048576",
        _whole(16, 1_048_576),
    ),
    Setting(
        "request_timeout",
        "20",
        "seconds for a client to send a request or to read a response, and one more per 32 KiB",
        "a number from 1 to 3600",
        _whole(1, 3_600),
    ),
    Setting(
        "idle_timeout",
        "300",
        "seconds that an idle connection stays open for its next request",
        "a number from 1 to 86400",
        _whole(1, 86_400),
    ),
    Setting(
        "pool_size",
        "5",
        "number of PostgreSQL connections; the server adds one, its listener connection",
        "a number from 2 to 100",
        _whole(2, 100),
    ),
    Setting(
        "poll_seconds",
        None,
        "seconds between checks for messages when PostgreSQL cannot notify (transaction pooler)",
        "a number of seconds from 0.05 to 20",
        _seconds,
    ),
    Setting(
        "log_level",
        "info",
        "lowest level that is logged",
        "debug, info, warning or error",
        _choice("debug", "info", "warning", "error"),
    ),
    Setting(
        "log_format",
        "text",
        "format of log lines: text for people, json for machines",
        "text or json",
        _choice("text", "json"),
    ),
)
