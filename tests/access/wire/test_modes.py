"""The modes `log` and `off`: mode `log` accepts all and says what would be denied."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Sequence

import pytest

from tests.access.declared_users import KeyPair
from tests.access.wire.conftest import wire_server
from tests.access.wire.drafts import draft
from tests.access.wire.http_requests import HttpRequest, Signer, as_sent, get
from tests.access.wire.wire_server import ACCOUNT, ADMIN, PRODUCER, STRANGER, WireServer
from tests.api.live_server import LiveServer, config
from tests.api.raw_http import exchange, json_headers
from tests.api.sqs_clients import Clients
from tests.clock import ManualClock

ID, SECRET = ADMIN.key_pairs[0][:2]
DIGITS = KeyPair("222233334444", SECRET)


@pytest.fixture(scope="module")
def logging_server(
    tmp_path_factory: pytest.TempPathFactory, clients: Clients, way: str
) -> Iterator[WireServer]:
    """Return a server in mode `log`."""
    with wire_server(tmp_path_factory, clients, way, access="log") as server:
        yield server


def send(server: WireServer, queue: str = "orders") -> HttpRequest:
    return server.json("SendMessage", QueueUrl=queue, MessageBody="x")


def denials(caplog: pytest.LogCaptureFixture) -> Sequence[str]:
    """Return the lines that say what would be denied, and drop all lines."""
    lines = [record.getMessage() for record in caplog.records if "denied" in record.getMessage()]
    caplog.clear()
    return lines


def wrong_requests(server: WireServer) -> Iterator[tuple[str, HttpRequest]]:
    """Yield requests that access control rejects, each with the code in the log."""
    signer = server.signer()
    signed = signer.sign(send(server))
    yield "SignatureDoesNotMatch", signed._replace(body=signed.body + b" ")
    yield (
        "SignatureDoesNotMatch",
        signed.edited("SignedHeaders=content-type;host;", "SignedHeaders="),
    )
    yield "SignatureDoesNotMatch", signer._replace(time="20960101T000000Z").sign(send(server))
    yield "InvalidClientTokenId", signer._replace(pair=KeyPair("AKUNKNOWN", "x")).sign(send(server))
    yield "InvalidClientTokenId", signer._replace(token="TOKEN").sign(send(server))
    yield "IncompleteSignature", send(server).adding(("Authorization", "Basic eDp5"))
    yield "IncompleteSignature", send(server).adding(("Authorization", ""))
    yield "IncompleteSignature", signed.adding(("X-Amz-Target", "AmazonSQS.SendMessage"))
    form = server.form("SendMessage", QueueUrl="orders", MessageBody="x")
    yield "SignatureDoesNotMatch", signer.sign(form)._replace(target="/?x=y")
    yield "MalformedInput", signer.sign(form)._replace(target=f"http://{server.host}/")
    yield "MalformedInput", signer.sign(form)._replace(target="/#x")
    url = get(server.host, "/000000000000/orders", Action="SendMessage", MessageBody="x")
    yield "SignatureDoesNotMatch", signer._replace(expires="60", time="20960102T020000Z").sign(url)


def test_wrong_signature_is_accepted_and_logged_once_in_mode_log(
    logging_server: WireServer, caplog: pytest.LogCaptureFixture
) -> None:
    for code, request in wrong_requests(logging_server):
        logging_server.purge("orders")
        denials(caplog)
        answer = logging_server.answer(request)
        assert answer.status == 200, (code, answer)
        (line,) = denials(caplog)
        assert line.startswith("request would be denied, accepting it in mode log: ")
        assert f"code={code} " in line
        assert f"request_id={answer.headers['x-amzn-requestid']} " in line
        assert logging_server.message_count("orders") == 1
    logging_server.purge("orders")


@pytest.mark.parametrize("queue", ["not-cached", "cached"])
def test_denied_action_is_accepted_and_logged_once_in_mode_log(
    logging_server: WireServer, caplog: pytest.LogCaptureFixture, queue: str
) -> None:
    server = logging_server
    server.call("CreateQueue", QueueName=queue)
    if queue == "cached":
        server.call("ReceiveMessage", QueueUrl=queue)
    anonymous = send(server, queue)
    for action, user, request in (
        ("SendMessage", "anonymous", anonymous),
        (
            "SendMessage",
            f"arn:aws:iam::{ACCOUNT}:user/producer",
            server.signer(PRODUCER).sign(anonymous),
        ),
        (
            "SendMessage",
            f"arn:aws:iam::{ACCOUNT}:user/producer",
            server.signer(PRODUCER).sign(
                server.json(
                    "SendMessageBatch", QueueUrl=queue, Entries=[{"Id": "a", "MessageBody": "x"}]
                )
            ),
        ),
        ("PurgeQueue", "anonymous", server.json("PurgeQueue", QueueUrl=queue)),
    ):
        denials(caplog)
        answer = server.answer(request)
        assert answer.status == 200, answer
        (line,) = denials(caplog)
        assert line.startswith("access would be denied, allowing it in mode log: ")
        assert f"request_id={answer.headers['x-amzn-requestid']} user={user} " in line
        assert f"action=sqs:{action} queue=arn:aws:sqs:us-east-1:{ACCOUNT}:{queue} " in line
    server.call("DeleteQueue", QueueUrl=queue)


def test_denied_action_that_fails_is_logged_once_in_mode_log(
    logging_server: WireServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = logging_server
    for request in (
        server.json("SendMessage", QueueUrl="orders", MessageBody=""),
        server.json("SendMessageBatch", QueueUrl="orders", Entries=[]),
        server.json("DeleteMessage", QueueUrl="orders", ReceiptHandle="x"),
        server.json("SendMessage", QueueUrl="missing", MessageBody="x"),
        server.json(
            "SendMessageBatch", QueueUrl="orders", Entries=[{"Id": "a", "MessageBody": ""}]
        ),
    ):
        denials(caplog)
        assert server.answer(request).status < 500
        assert len(denials(caplog)) == 1


def test_allowed_request_is_not_logged_in_mode_log(
    logging_server: WireServer, caplog: pytest.LogCaptureFixture
) -> None:
    denials(caplog)
    server = logging_server
    for request in (
        server.signer(PRODUCER).sign(send(server)),
        server.signer().sign(send(server)),
        send(server, "public"),
        as_sent(draft(server).in_header()),
    ):
        assert server.answer(request).status == 200
    assert denials(caplog) == []
    server.purge("orders")
    server.purge("public")


def test_user_of_a_valid_signature_counts_in_mode_log(logging_server: WireServer) -> None:
    server = logging_server
    signed = server.signer(STRANGER).sign(server.json("CreateQueue", QueueName="orders"))
    assert "/111122223333/orders" in server.answer(signed).body.decode()


def test_key_of_12_digits_is_no_account_in_mode_log(logging_server: WireServer) -> None:
    signer = Signer(DIGITS)
    signed = signer.sign(logging_server.json("GetQueueUrl", QueueName="orders"))
    answer = logging_server.answer(signed)
    assert json.loads(answer.body)["QueueUrl"].endswith(f"/{ACCOUNT}/orders")


def test_region_of_an_unproved_signature_counts_in_mode_log(logging_server: WireServer) -> None:
    # A client that signs with a wrong secret uses the same queues as in mode `off`.
    signer = logging_server.signer()._replace(pair=KeyPair(ID, "wrong"), region="eu-west-1")
    answer = logging_server.answer(signer.sign(logging_server.json("ListQueues")))
    assert "QueueUrls" not in json.loads(answer.body)


@pytest.fixture(scope="module", params=["direct", "task"])
def open_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """Return a server in mode `off`."""
    path = tmp_path_factory.mktemp("off") / "queueserver.db"
    with contextlib.closing(LiveServer(config(f"sqlite:///{path}"), ManualClock())) as server:
        for pair in (None, DIGITS):
            assert call(server, "CreateQueue", pair, QueueName="q") == 200
            assert call(server, "ReceiveMessage", pair, QueueUrl="q") == 200
        if request.param == "task":
            server.answer_with_tasks_only()
        yield server


def call(server: LiveServer, action: str, pair: KeyPair | None = None, **parameters: object) -> int:
    headers = json_headers(action)
    if pair is not None:
        scope = f"{pair.access_key_id}/20200101/us-east-1/sqs/aws4_request"
        headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, Signature=0"
    body = json.dumps(parameters)
    return exchange(server.url, headers=headers, body=body).status


def test_key_of_12_digits_is_an_account_in_mode_off(open_server: LiveServer) -> None:
    url = f"{open_server.url}/222233334444/q"
    attributes = {"QueueUrl": "q", "AttributeNames": ["All"]}
    for name, pair, expected in (("a", DIGITS, "1"), ("b", None, "0")):
        assert call(open_server, "SendMessage", DIGITS, QueueUrl="q", MessageBody=name) == 200
        headers = json_headers("GetQueueAttributes")
        if pair:
            attributes["QueueUrl"] = url
        else:
            attributes["QueueUrl"] = "q"
        answer = exchange(open_server.url, headers=headers, body=json.dumps(attributes))
        assert json.loads(answer.body)["Attributes"]["ApproximateNumberOfMessages"] == expected
    assert call(open_server, "PurgeQueue", DIGITS, QueueUrl="q") == 200


@pytest.mark.parametrize(
    "header",
    [
        ("Authorization", "Basic eDp5"),
        ("Authorization", "AWS AKID:0"),
        ("Authorization", "\u00ff"),
        ("X-Amz-Security-Token", "TOKEN"),
        ("X-Amz-Date", "yesterday"),
        ("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"),
    ],
)
def test_nothing_is_verified_in_mode_off(
    open_server: LiveServer, caplog: pytest.LogCaptureFixture, header: tuple[str, str]
) -> None:
    caplog.set_level(logging.INFO)
    headers = {**json_headers("SendMessage"), header[0]: header[1]}
    body = '{"QueueUrl":"q","MessageBody":"x"}'
    assert exchange(open_server.url, headers=headers, body=body).status == 200
    assert denials(caplog) == []
