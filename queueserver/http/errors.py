"""Errors: map exceptions to the SQS errors that clients get, and log the server's own failures.

A client never gets a traceback. The log describes errors that are the server's fault.
"""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import BadHttpMessage

from protocol.errors import (
    InternalFailure,
    MalformedInput,
    RequestThrottled,
    ServiceUnavailable,
    SQSError,
)
from queueserver.http.clients.heads import too_long
from storage.errors import DatabaseBusy, DatabaseDamaged, DatabaseUnavailable

log = logging.getLogger(__name__)


def sqs_error(error: BaseException, request_id: str) -> SQSError:
    """Return the error that the client gets; log one that is not the client's fault.

    It has no traceback and no cause. The caller's frame keeps the error, and a traceback would keep
    that frame with the request, which may have 8 MiB, until the garbage collector finds the cycle.
    """
    if isinstance(error, SQSError):
        error.__traceback__ = error.__cause__ = error.__context__ = None
        _log_reason(error, request_id)
        return error
    if isinstance(error, DatabaseBusy):
        return RequestThrottled()
    if isinstance(error, web.RequestPayloadError):
        if isinstance(error.__cause__, (HttpProcessingError, SQSError)):
            return unreadable_request(error.__cause__, request_id)
        return MalformedInput("The request's body could not be read.")
    if isinstance(error, DatabaseUnavailable):
        log.error(
            "the database is unavailable, answering ServiceUnavailable (503) until it is back: "
            "request_id=%s reason=%s",
            request_id,
            error,
        )
        return ServiceUnavailable()
    if isinstance(error, DatabaseDamaged):
        log.error(
            "the database is damaged, answering InternalFailure (500); "
            "find the damage with `queueserver check` or `pg_amcheck`: request_id=%s reason=%s",
            request_id,
            error,
        )
        return InternalFailure()
    log.error(
        "unexpected error, answering InternalFailure (500); this is a defect of queueserver: "
        "request_id=%s",
        request_id,
        exc_info=error,
    )
    return InternalFailure()


def _log_reason(error: SQSError, request_id: str) -> None:
    """Log what the operator needs to know of an error, and the client's text does not say."""
    if error.denial:
        log.warning(
            "access denied, answering %s (%d): request_id=%s %s",
            error.code,
            error.status,
            request_id,
            error.denial,
        )
    elif error.reason:
        log.info(
            "request rejected, answering %s (%d): request_id=%s %s",
            error.code,
            error.status,
            request_id,
            error.reason,
        )


def unreadable_request(error: BaseException | None, request_id: str) -> SQSError:
    """Return the error for bytes that are no request; log that of aiohttp's parser."""
    failure = error if isinstance(error, SQSError) else too_long(error)
    if failure is not None:
        log.info(
            "request cannot be read, answering %s (%d) and closing the connection: request_id=%s",
            failure.code,
            failure.status,
            request_id,
        )
        return failure
    log.info(
        "request is not valid HTTP, answering MalformedInput (400) and closing the connection: "
        "request_id=%s reason=%s",
        request_id,
        _reason(error),
    )
    return MalformedInput("The request is not valid HTTP.")


def _reason(error: BaseException | None) -> str:
    """Describe a parser's error without the bytes it quotes, which may be secret."""
    words, quotes, _ = str(getattr(error, "message", "")).partition(":\n\n")
    quotes_nothing_else = quotes or type(error) is BadHttpMessage
    return " ".join(words.split()) if quotes_nothing_else else type(error).__name__
