"""Targets of signed requests: method, path and query string are used as they were signed."""

from __future__ import annotations

import pytest

from tests.access.wire.drafts import draft, url_draft
from tests.access.wire.http_requests import HttpRequest, as_sent, get
from tests.access.wire.wire_server import PRODUCER, STRANGER, WireServer

ORDERS = "/000000000000/orders"


def send(server: WireServer, path: str = ORDERS) -> HttpRequest:
    return server.form("SendMessage", path, MessageBody="x")


def presigned(server: WireServer, path: str = ORDERS, **parameters: str) -> HttpRequest:
    signer = server.signer()._replace(expires="600")
    given = parameters or {"Action": "SendMessage", "MessageBody": "x"}
    return signer.sign(get(server.host, path, **given))


def test_presigned_get_is_accepted(server: WireServer) -> None:
    assert server.answer(presigned(server)).status == 200
    assert server.message_count("orders") == 1
    server.purge("orders")


@pytest.mark.parametrize("body", [b"", b"Action=PurgeQueue", b"Action=SendMessage&MessageBody=y"])
@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "DELETE", "PATCH"])
def test_presigned_get_is_not_valid_for_another_method(
    server: WireServer, method: str, body: bytes
) -> None:
    request = presigned(server)._replace(method=method, body=body)
    form = ("Content-Type", "application/x-www-form-urlencoded")
    before = server.state()
    answer = server.answer(request.adding(form))
    assert answer.status == 403
    assert server.state() == before


@pytest.mark.parametrize(
    "query", ["Action=PurgeQueue", "Action=SendMessage", "MessageBody=y", "a", "=", "&", "?"]
)
def test_query_string_that_is_added_to_a_signed_form_is_rejected(
    server: WireServer, query: str
) -> None:
    signed = server.signer().sign(send(server))
    error = server.rejection(signed._replace(target=f"{ORDERS}?{query}"))
    assert error.code in {"SignatureDoesNotMatch", "MalformedQueryString"}


def test_parameter_that_is_added_to_a_presigned_url_is_rejected(server: WireServer) -> None:
    url = presigned(server)
    for more in ("QueueUrl=victim", "x", "Action=PurgeQueue", "X-Amz-Expires=900", "&"):
        request = url._replace(target=f"{url.target}&{more}")
        error = server.rejection(request)
        assert error.code in {"SignatureDoesNotMatch", "MalformedQueryString"}


@pytest.mark.parametrize(
    "query",
    [
        "Action=SendMessage&Action=PurgeQueue&MessageBody=x",
        "Action=SendMessage&MessageBody=x&QueueUrl=orders&QueueUrl=victim",
        "Action=SendMessage&MessageBody=x&MessageBody=x",
    ],
)
def test_signed_parameter_that_comes_twice_is_rejected(server: WireServer, query: str) -> None:
    for one in (
        url_draft(server, query=query).in_header(),
        url_draft(server, query=query).in_query(),
    ):
        error = server.rejection(as_sent(one))
        assert (error.status, error.code) == (400, "MalformedQueryString")


@pytest.mark.parametrize("name", ["X-Amz-Date", "X-Amz-Expires", "X-Amz-Credential"])
def test_parameter_of_a_signature_that_comes_twice_is_rejected(
    server: WireServer, name: str
) -> None:
    one = url_draft(server)
    values = {"X-Amz-Date": one.time, "X-Amz-Expires": "600", "X-Amz-Credential": one.credential}
    error = server.rejection(as_sent(one._replace(more=((name, values[name]),)).in_query()))
    assert (error.status, error.code) == (400, "MalformedQueryString")


def test_form_parameter_that_comes_twice_counts_once_for_check_and_action(
    server: WireServer,
) -> None:
    # The whole body is signed, so its sender chose the order; one reader reads it once.
    signer = server.signer(PRODUCER)
    body = b"Action=SendMessage&MessageBody=x&QueueUrl="
    denied = send(server, "/")._replace(body=body + b"orders&QueueUrl=victim")
    error = server.rejection(signer.sign(denied))
    assert (error.status, error.code) == (403, "AccessDenied")
    assert ":victim " in error.text
    denied = send(server, "/")._replace(body=body + b"orders&Action=PurgeQueue")
    assert "sqs:purgequeue" in server.rejection(signer.sign(denied)).text


def test_queue_of_the_form_is_checked_and_not_that_of_the_path(server: WireServer) -> None:
    signer = server.signer(PRODUCER)
    request = server.form("SendMessage", ORDERS, QueueUrl="victim", MessageBody="x")
    error = server.rejection(signer.sign(request))
    assert (error.status, error.code) == (403, "AccessDenied")


def test_plus_sign_of_a_signed_query_string_is_rejected(server: WireServer) -> None:
    query = "Action=SendMessage&MessageBody=a%2Bb"
    signed = as_sent(url_draft(server, query=query).in_query())
    error = server.rejection(signed._replace(target=signed.target.replace("%2Bb", "+b")))
    assert (error.status, error.code) == (400, "MalformedQueryString")


# Spellings of the path


EQUAL_SPELLINGS = [
    pytest.param("//000000000000///orders", id="empty segments"),
    pytest.param("/./000000000000/./orders", id="dots"),
    pytest.param("/111122223333/../000000000000/orders", id="parent of an account"),
    pytest.param("/000000000000/victim/../orders", id="parent of a queue"),
    pytest.param("/../../000000000000/orders", id="parents of the root"),
]


@pytest.mark.parametrize("path", EQUAL_SPELLINGS)
def test_path_with_an_equal_signature_names_the_same_queue(server: WireServer, path: str) -> None:
    # A change of the spelling on the way does not change the queue.
    for signed in (server.signer().sign(send(server)), presigned(server)):
        moved = signed._replace(target=signed.target.replace(ORDERS, path))
        answer = server.answer(moved)
        assert answer.status == 200, answer
        assert (server.message_count("orders"), server.message_count("victim")) == (1, 0)
        server.purge("orders")


@pytest.mark.parametrize("spelling", ["x/../", "./", "/", "./x/.././"])
def test_path_with_an_equal_signature_names_the_same_account(
    server: WireServer, spelling: str
) -> None:
    # The two last segments name account and queue; a queue without an account is the sender's own.
    server.call("CreateQueue", STRANGER, QueueName="public")
    signer = server.signer(STRANGER)
    signed = signer.sign(server.form("SendMessage", "/000000000000/public", MessageBody="x"))
    answer = server.answer(signed._replace(target=f"/000000000000/{spelling}public"))
    assert answer.status == 200, answer
    assert server.message_count("public") == 1
    server.purge("public")
    server.call("DeleteQueue", STRANGER, QueueUrl="public")


OTHER_SPELLINGS = [
    pytest.param("/000000000000/orders/", id="slash at the end"),
    pytest.param("/000000000000/%6frders", id="escaped letter"),
    pytest.param("/000000000000%2forders", id="escaped slash"),
    pytest.param("/%2e/000000000000/orders", id="escaped dot"),
    pytest.param("/000000000000/victim/%2e%2e/orders", id="escaped parent"),
    pytest.param("/000000000000/orders%20", id="escaped space"),
    pytest.param("/000000000000/Orders", id="upper case"),
    pytest.param("/000000000000/orders\udcff", id="not UTF-8"),
    pytest.param("/000000000000/victim", id="other queue"),
]


@pytest.mark.parametrize("path", OTHER_SPELLINGS)
def test_path_with_another_signature_is_rejected(server: WireServer, path: str) -> None:
    for signed in (server.signer().sign(send(server)), presigned(server)):
        before = server.state()
        answer = server.answer(signed._replace(target=signed.target.replace(ORDERS, path)))
        assert answer.status in {400, 403}, answer
        assert server.state() == before


@pytest.mark.parametrize(
    "path",
    ["/000000000000/%6frders", "/000000000000/a%252fb", "/000000000000/orders%2f..%2fvictim"],
)
def test_escaped_path_is_signed_escaped_twice(server: WireServer, path: str) -> None:
    error = server.rejection(as_sent(draft(server, path=path, body=b"{}").in_header()))
    assert error.code != "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("http://{host}{path}", id="own host"),
        pytest.param("http://elsewhere.example{path}", id="another host"),
        pytest.param("{path}#", id="empty fragment"),
        pytest.param("{path}#/000000000000/victim", id="fragment"),
        pytest.param("/#{path}", id="path in a fragment"),
        pytest.param("*", id="asterisk"),
    ],
)
def test_target_that_is_not_a_path_is_rejected(server: WireServer, target: str) -> None:
    given = target.format(host=server.host, path=ORDERS)
    for signed in (
        server.signer().sign(send(server)),
        as_sent(draft(server, path=given).in_header()),
        presigned(server),
    ):
        _, mark, query = signed.target.partition("?")
        before = server.state()
        answer = server.answer(signed._replace(target=f"{given}{mark}{query}"))
        assert answer.status == 400, answer
        assert server.state() == before


@pytest.mark.parametrize("target", ["/%", "/%zz", "/?%", "/?a=%f", "/?X-Amz-Signature=%"])
def test_invalid_escape_is_rejected_before_anything_else(server: WireServer, target: str) -> None:
    signed = server.signer().sign(send(server)).edited("AWS4-HMAC", "AWS5-HMAC")
    error = server.rejection(signed._replace(target=target))
    assert (error.status, error.code) == (400, "MalformedQueryString")
    assert error.text.startswith("Illegal hex character in escape % pattern: %")


def test_space_and_characters_that_are_not_ascii_never_fail_the_server(server: WireServer) -> None:
    for target in ("/000000000000/\udcc3\udca4?\udcff=\udcff", "/?\udcf0=%ff", "/?a=%00%0d%0a"):
        for signed in (server.signer().sign(send(server)), presigned(server)):
            assert 400 <= server.answer(signed._replace(target=target)).status < 500


# Region and service


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        ("us-east-1/s3/aws4_request", "Credential should be scoped to correct service: 'sqs'. "),
        (
            "us-east-1/sqs/aws4_requestx",
            "Credential should be scoped with a valid terminator: 'aws4_request'",
        ),
        ("US-EAST-1/sqs/aws4_request", "Credential should be scoped to a valid region, not 'US-"),
    ],
    ids=["service", "terminator", "region"],
)
def test_signature_for_another_scope_is_rejected(server: WireServer, scope: str, text: str) -> None:
    one = draft(server)
    key_and_date = "/".join(one.credential.split("/")[:2])
    given = one._replace(credential=f"{key_and_date}/{scope}")
    for request in (given.in_header(), given.in_query()):
        error = server.rejection(as_sent(request))
        assert (error.status, error.code) == (403, "SignatureDoesNotMatch")
        assert error.text.startswith(text)


def test_host_of_a_region_demands_its_region(server: WireServer, protocol: str) -> None:
    host = "sqs.eu-west-1.amazonaws.com"
    request = server.post(protocol, "ListQueues").replacing("Host", host)
    error = server.rejection(server.signer().sign(request))
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")
    assert "a valid region, not" in error.text
    other = server.signer()._replace(region="eu-west-1")
    answer = server.answer(other.sign(request))
    assert answer.status == 200
    assert b"orders" not in answer.body  # a queue of the other region
