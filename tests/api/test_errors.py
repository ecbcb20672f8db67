"""Every SQS error over HTTP, in both protocols: status, type, code and text.

The tests run on SQLite alone: a rejected request does not reach the database, or only reads it.
"""

from __future__ import annotations

import contextlib
import html
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from tests.api.error_cases import ERRORS, CaseServer, EntryErrorCase, ErrorCase, Parameters
from tests.api.message_attribute_error_cases import ATTRIBUTE_CASES
from tests.api.message_error_cases import ENTRY_CASES, MESSAGE_CASES
from tests.api.permission_error_cases import PERMISSION_CASES
from tests.api.queue_error_cases import QUEUE_CASES
from tests.api.raw_http import call_action, parse_error
from tests.api.redrive_error_cases import REDRIVE_CASES
from tests.api.validation_order_cases import ORDER_CASES

CASES: Mapping[str, ErrorCase] = {
    **QUEUE_CASES,
    **PERMISSION_CASES,
    **MESSAGE_CASES,
    **ATTRIBUTE_CASES,
    **REDRIVE_CASES,
    **ORDER_CASES,
}
_SQS = "{http://queue.amazonaws.com/doc/2012-11-05/}"


@pytest.fixture(scope="module")
def server() -> Iterator[CaseServer]:
    with contextlib.closing(CaseServer()) as server:
        yield server


def params(cases: Mapping[str, Any]) -> list[Any]:
    return [
        pytest.param(protocol, case, id=f"{name}, {protocol}")
        for name, case in cases.items()
        for protocol in ("json", "query")
    ]


def parameters_of(server: CaseServer, case: ErrorCase | EntryErrorCase) -> Parameters:
    return case.parameters(server) if callable(case.parameters) else case.parameters


def names_queue(action: str, parameters: Parameters) -> bool:
    """Return whether a request has a queue URL or, for GetQueueUrl, a name."""
    return action == "GetQueueUrl" or "QueueUrl" in parameters


@pytest.mark.parametrize(("protocol", "case"), params(CASES))
def test_rejected_request_has_sqs_status_code_and_text(
    server: CaseServer, protocol: str, case: ErrorCase
) -> None:
    parameters = parameters_of(server, case)
    error = parse_error(call_action(server.url, protocol, case.action, parameters))
    status, namespace, code = ERRORS[case.error]
    text = case.text
    for name, given in parameters.items():
        text = text.replace(f"<{name}>", str(given))
    if protocol == "query":
        if case.error == "QueueDoesNotExist" and not names_queue(case.action, parameters):
            status, _, code = ERRORS["InvalidAddress"]
            text = f"The address https://{urlsplit(server.url).netloc}/ is not valid for this"
            text += " endpoint."
        elif case.error == "QueueDoesNotExist":
            text = text.replace("exist.", "exist for this wsdl version.")
        error = error._replace(text=html.unescape(error.text))
    kind = f"{namespace}{case.error}" if protocol == "json" else None
    assert error == (status, kind, code, text)


@pytest.mark.parametrize(("protocol", "case"), params(ENTRY_CASES))
def test_failed_batch_entry_has_sqs_code_and_text(
    server: CaseServer, protocol: str, case: EntryErrorCase
) -> None:
    parameters = parameters_of(server, case)
    (entry,) = parameters["Entries"]
    answer = call_action(server.url, protocol, case.action, parameters)
    assert answer.status == 200, answer.body
    failure = {
        "Id": entry["Id"],
        "SenderFault": True,
        "Code": case.code,
        "Message": case.text.replace("<ReceiptHandle>", str(entry.get("ReceiptHandle"))),
    }
    if protocol == "json":
        assert json.loads(answer.body) == {"Failed": [failure]}
    else:
        (result, _) = ElementTree.fromstring(answer.body)
        (failed,) = result
        assert failed.tag == f"{_SQS}BatchResultErrorEntry"
        found = {part.tag.removeprefix(_SQS): part.text for part in failed}
        assert found == {**failure, "SenderFault": "true"}
