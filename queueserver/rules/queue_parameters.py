"""The parameters of the actions on queues: queue names, tags and pages of lists."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from protocol.errors import InvalidParameterValue, missing_parameter
from protocol.names import Arn
from queueserver.rules import limits
from queueserver.rules.parameters import (
    ACCOUNT,
    NAME,
    NAME_RULE,
    check_count,
    invalid_parameter_error,
    is_xml_text,
)

_FIFO_SUFFIX = ".fifo"
_FIFO_NAME = re.compile(
    rf"[A-Za-z0-9_-]{{1,{limits.MAXIMUM_NAME_CHARACTERS - len(_FIFO_SUFFIX)}}}\.fifo"
)
_NAME_PREFIX = re.compile(rf"[A-Za-z0-9_.-]{{0,{limits.MAXIMUM_NAME_CHARACTERS}}}")
_PARTITION = re.compile(r"aws(?:-[a-z]+)*")
_REGION = re.compile(r"[A-Za-z0-9-]{1,63}")
_TAG_TEXT = re.compile(r"[\w\s.:/=+\-@]*")


def check_queue_name(name: str, *, is_fifo: bool = False) -> None:
    """Reject a name that a queue of this type cannot have.

    AWS: 1 to 80 letters, digits, hyphens and underscores; the name of a FIFO queue, and no other,
    ends in `.fifo`, which counts.

    Raises:
        InvalidParameterValue: the name is empty or breaks the rule.
    """
    if not name:
        raise InvalidParameterValue("Queue name cannot be empty")
    if is_fifo and not _FIFO_NAME.fullmatch(name):
        raise InvalidParameterValue(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or "
            f"underscores, must end with {_FIFO_SUFFIX} suffix and be 1 to "
            f"{limits.MAXIMUM_NAME_CHARACTERS} in length"
        )
    if not is_fifo and not NAME.fullmatch(name):
        raise InvalidParameterValue(f"Can only include {NAME_RULE}")


def is_queue_name(name: str) -> bool:
    """Return whether a queue of any type can have this name."""
    return bool(NAME.fullmatch(name) or _FIFO_NAME.fullmatch(name))


def is_queue_name_prefix(text: str) -> bool:
    """Return whether the name of a queue can begin with this text."""
    return _NAME_PREFIX.fullmatch(text) is not None


def is_queue_arn(arn: Arn) -> bool:
    """Return whether a queue of this server can have this ARN."""
    return bool(
        arn.service == "sqs"
        and _PARTITION.fullmatch(arn.partition)
        and _REGION.fullmatch(arn.region)
        and ACCOUNT.fullmatch(arn.account)
        and is_queue_name(arn.resource)
    )


def parse_max_results(value: int | None) -> int:
    """Return the number of queue URLs per page, 1 to 1,000; the default is 1,000.

    Raises:
        InvalidParameterValue: the number is out of range.
    """
    maximum = limits.MAXIMUM_QUEUES_PER_PAGE
    if value is None:
        return maximum
    if not 1 <= value <= maximum:
        reason = f"MaxResults must be an integer between 1 and {maximum}."
        raise invalid_parameter_error("MaxResults", reason)
    return value


def check_next_token(token: str | None, max_results: int | None) -> None:
    """Reject a page token without MaxResults.

    Raises:
        InvalidParameterValue: there is a token and no MaxResults.
    """
    if token is not None and max_results is None:
        raise InvalidParameterValue(
            "MaxResults is a mandatory parameter when you provide a value for NextToken."
        )


def check_tags(tags: Mapping[str, str]) -> None:
    """Reject tags that a queue cannot have.

    AWS: keys of 1 to 128 and values of 0 to 256 letters, digits, spaces and some symbols; keys
    that begin with `aws:` are reserved.

    Raises:
        InvalidParameterValue: a key or a value breaks the rule.
    """
    if not tags:
        return
    parse_tag_keys(list(tags))
    if any(key.lower().startswith("aws:") for key in tags):
        raise InvalidParameterValue("Tag keys that begin with aws: are reserved.")  # [guess]
    for value in tags.values():
        _check_tag_text("values", value, 0, limits.MAXIMUM_TAG_VALUE_CHARACTERS)


def parse_tag_keys(keys: Sequence[str] | None) -> Sequence[str]:
    """Return the tag keys of a request; an empty list is rejected like an empty key.

    Raises:
        MissingParameter: there is no list.
        InvalidParameterValue: the list is empty or too long, or a tag cannot have one of the keys.
    """
    if keys is None:
        raise missing_parameter("TagKeys")
    check_count("tag keys", len(keys), limits.MAXIMUM_NAMES)
    for key in keys or ("",):
        _check_tag_text("keys", key, 1, limits.MAXIMUM_TAG_KEY_CHARACTERS)
    return keys


def _check_tag_text(part: str, text: str, shortest: int, longest: int) -> None:
    if not shortest <= len(text) <= longest:
        raise InvalidParameterValue(
            f"Tag {part} must be between {shortest} and {longest} characters in length."
        )
    if not _TAG_TEXT.fullmatch(text) or not is_xml_text(text):
        raise InvalidParameterValue(
            f"Tag {part} may only contain unicode letters, digits, whitespace, "
            "or one of these symbols: _ . : / = + - @"
        )


def check_tag_count(queue_name: str, count: int) -> None:
    """Reject a change after which the queue would have `count` tags, if that is more than 50.

    Raises:
        InvalidParameterValue: there would be too many.
    """
    if count > limits.MAXIMUM_TAGS:
        raise InvalidParameterValue(f"Too many tags added for queue {queue_name}.")
