"""The time of signing: how it is written, and whether it is near the server's time."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

import msgspec

from protocol.errors import IncompleteSignature, SignatureDoesNotMatch
from queueserver.signatures.echo import echo
from queueserver.signatures.parameters import CLOCK_SKEW_SECONDS

_BASIC_FORMAT = re.compile(rb"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")
_HTTP_DATE = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} [A-Z][a-z]{2} [0-9]{4}"
    rb" [0-9]{2}:[0-9]{2}:[0-9]{2} (?:GMT|[+-]0000)"
)
_CACHED_TIMES = 1_000
_LONGEST_TIME = 40


class SigningTime(msgspec.Struct, frozen=True, gc=False):
    """The time of signing: in seconds since the epoch, and in ISO 8601's basic format."""

    seconds: int
    text: bytes

    @property
    def date(self) -> bytes:
        """The date, as the scope of a credential has it: YYYYMMDD."""
        return self.text[:8]

    def check_current(self, now: int, lifetime: int) -> None:
        """Reject a signature that is too old or too far in the future.

        `now` is in seconds since the epoch, and `lifetime` in seconds. The last second is valid.

        Raises:
            SignatureDoesNotMatch: the signature is not valid at this time.
        """
        if self.seconds < now - lifetime:
            length = "15 min." if lifetime == CLOCK_SKEW_SECONDS else f"{lifetime} sec."
            raise SignatureDoesNotMatch(
                f"Signature expired: {self.text.decode()} is now earlier than"
                f" {_basic_format(now - lifetime)} ({_basic_format(now)} - {length})",
                reason=f"the signature is {now - self.seconds} s old: it was sent again, or the "
                "client's clock is wrong",
            )
        if self.seconds > now + CLOCK_SKEW_SECONDS:
            raise SignatureDoesNotMatch(
                f"Signature not yet current: {self.text.decode()} is still later than"
                f" {_basic_format(now + CLOCK_SKEW_SECONDS)} ({_basic_format(now)} + 15 min.)",
                reason=f"the client's clock is {self.seconds - now} s ahead of the server's",
            )


def parse_signing_time(text: bytes, time_header: bytes) -> SigningTime:
    """Parse a time; the header Date may have it in HTTP's format too.

    Raises:
        IncompleteSignature: the text is not a time.
    """
    time = None
    if len(text) <= _LONGEST_TIME:
        time = _parse_http_date(text) if time_header == b"date" else None
        time = time or _parse(text)
    if time is None:
        raise IncompleteSignature(
            f"Date must be in ISO-8601 'basic format'. Got '{echo(text)}'. See"
            " http://en.wikipedia.org/wiki/ISO_8601"
        )
    return time


@lru_cache(_CACHED_TIMES)
def _parse(text: bytes) -> SigningTime | None:
    match = _BASIC_FORMAT.fullmatch(text)
    if match is None:
        return None
    try:
        time = datetime(*map(int, match.groups()), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:  # the 30th of February
        return None
    return SigningTime(int(time.timestamp()), text)


def _parse_http_date(text: bytes) -> SigningTime | None:
    if _HTTP_DATE.fullmatch(text) is None:
        return None
    try:
        seconds = int(parsedate_to_datetime(text.decode()).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None
    return SigningTime(seconds, _basic_format(seconds).encode())


def _basic_format(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")
