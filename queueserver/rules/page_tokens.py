"""Page tokens: signed tokens that continue a list of queues after the last name of a page."""

from __future__ import annotations

import msgspec

from protocol.errors import InvalidParameterValue
from queueserver.rules.signed_tokens import TokenSigner


class Listing(msgspec.Struct, frozen=True):
    """A list of queue names, as one request asks for it.

    Attributes:
        purpose: the action, and the account and region or the queue whose list it is.
        selection: the prefix of the names, or the ARN of the dead-letter queue.
        max_results: the number of names per page.
    """

    purpose: str
    selection: str
    max_results: int


class _Page(msgspec.Struct, array_like=True):
    """The content of a token: the end of a page, and the list that it belongs to.

    `max_results` is not compared (AWS: observed). Servers of an earlier version, which may share
    the database, compare it.
    """

    selection: str
    max_results: int
    last_name: str


def encode_page_token(secret: bytes, listing: Listing, last_name: str) -> str:
    """Return the token for the page after `last_name`."""
    page = _Page(listing.selection, listing.max_results, last_name)
    return TokenSigner(secret, listing.purpose).sign(msgspec.json.encode(page))


def decode_page_token(secret: bytes, listing: Listing, token: str) -> str:
    """Return the last name of the page that ended with this token.

    Raises:
        InvalidParameterValue: the token was not issued for this list, or was issued for another
            selection. AWS takes it with another number of results.
    """
    content = TokenSigner(secret, listing.purpose).verify(token)
    if content is None:
        raise InvalidParameterValue("Invalid or expired next token.")
    page = msgspec.json.decode(content, type=_Page)
    if page.selection != listing.selection:
        raise InvalidParameterValue(
            "Invalid NextToken value. If you are passing in NextToken, "
            "you must not change the other request parameters."
        )
    return page.last_name
