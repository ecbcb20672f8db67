"""Every error of SQS's tables over HTTP, in both protocols: status, type, code and words.

One database is enough here: what is refused never reaches it, or only asks it for facts.
"""

from __future__ import annotations

import contextlib
import html
import json
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.api.attribute_error_rows import ATTRIBUTE_ROWS
from tests.api.error_rows import ERRORS, EntryRow, Parameters, Room, Row
from tests.api.message_error_rows import ENTRY_ROWS, MESSAGE_ROWS
from tests.api.order_error_rows import ORDER_ROWS
from tests.api.permission_error_rows import PERMISSION_ROWS
from tests.api.queue_error_rows import QUEUE_ROWS
from tests.api.raw_http import ask, told
from tests.api.redrive_error_rows import REDRIVE_ROWS

ROWS: Mapping[str, Row] = {
    **QUEUE_ROWS,
    **PERMISSION_ROWS,
    **MESSAGE_ROWS,
    **ATTRIBUTE_ROWS,
    **REDRIVE_ROWS,
    **ORDER_ROWS,
}
_SQS = "{http://queue.amazonaws.com/doc/2012-11-05/}"


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with contextlib.closing(Room()) as room:
        yield room


def params(rows: Mapping[str, Any]) -> list[Any]:
    return [
        pytest.param(protocol, row, id=f"{name}, {protocol}")
        for name, row in rows.items()
        for protocol in ("json", "query")
        if getattr(row, "only", "") in {"", protocol}
    ]


def parameters_of(room: Room, row: Row | EntryRow) -> Parameters:
    return row.given(room) if callable(row.given) else row.given


@pytest.mark.parametrize(("protocol", "row"), params(ROWS))
def test_a_refusal_is_told_as_sqs_tells_it(room: Room, protocol: str, row: Row) -> None:
    parameters = parameters_of(room, row)
    error = told(ask(room.url, protocol, row.action, parameters))
    status, namespace, code = ERRORS[row.error]
    text = row.text
    for name, given in parameters.items():
        text = text.replace(f"<{name}>", str(given))
    if protocol == "query":
        if row.error == "QueueDoesNotExist":
            text = text.replace("exist.", "exist for this wsdl version.")
        error = error._replace(text=html.unescape(error.text))
    kind = f"{namespace}{row.error}" if protocol == "json" else None
    assert error == (status, kind, code, text)


@pytest.mark.parametrize(("protocol", "row"), params(ENTRY_ROWS))
def test_an_entry_fails_alone_as_sqs_tells_it(room: Room, protocol: str, row: EntryRow) -> None:
    parameters = parameters_of(room, row)
    (entry,) = parameters["Entries"]
    answer = ask(room.url, protocol, row.action, parameters)
    assert answer.status == 200, answer.body
    failure = {
        "Id": entry["Id"],
        "SenderFault": True,
        "Code": row.code,
        "Message": row.text.replace("<ReceiptHandle>", str(entry.get("ReceiptHandle"))),
    }
    if protocol == "json":
        assert json.loads(answer.body) == {"Failed": [failure]}
    else:
        (result, _) = ElementTree.fromstring(answer.body)
        (failed,) = result
        assert failed.tag == f"{_SQS}BatchResultErrorEntry"
        found = {part.tag.removeprefix(_SQS): part.text for part in failed}
        assert found == {**failure, "SenderFault": "true"}
