"""Queue URLs and ARNs."""

from __future__ import annotations

import pytest

from protocol.errors import QueueDoesNotExist
from protocol.names import Arn, parse_arn, parse_queue_url, queue_arn, queue_url

ACCOUNT = "123456789012"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        pytest.param(
            f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/q", (ACCOUNT, "q"), id="canonical"
        ),
        pytest.param(f"https://queue.amazonaws.com/{ACCOUNT}/q", (ACCOUNT, "q"), id="legacy host"),
        pytest.param(
            f"http://[::1]:9324/{ACCOUNT}/q.fifo", (ACCOUNT, "q.fifo"), id="IPv6 and fifo"
        ),
        pytest.param(f"/{ACCOUNT}/q", (ACCOUNT, "q"), id="path"),
        pytest.param(f"{ACCOUNT}/q", (ACCOUNT, "q"), id="relative path"),
        pytest.param(f"http://h/{ACCOUNT}/q/", (ACCOUNT, "q"), id="trailing slash"),
        pytest.param(f"http://h/{ACCOUNT}/q?x=/1/2#/3", (ACCOUNT, "q"), id="query and fragment"),
        pytest.param(f"http://h/{ACCOUNT}/my%2Dqueue", (ACCOUNT, "my-queue"), id="percent-encoded"),
        pytest.param("q", (None, "q"), id="bare name"),
        pytest.param("http://h:9324/queue/q", (None, "q"), id="ElasticMQ"),
        pytest.param(
            f"http://h:4566/queue/us-east-1/{ACCOUNT}/q", (ACCOUNT, "q"), id="LocalStack path"
        ),
        pytest.param(
            f"http://us-east-1.queue.localhost.localstack.cloud:4566/{ACCOUNT}/q",
            (ACCOUNT, "q"),
            id="LocalStack host",
        ),
        pytest.param("http://h/Q", (None, "Q"), id="bare name in upper case"),
    ],
)
def test_queue_url_is_parsed_by_its_last_two_segments(
    text: str, parsed: tuple[str | None, str]
) -> None:
    assert parse_queue_url(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("/", id="root"),
        pytest.param("http://whatever-incorrect-queue-address", id="no path"),
        pytest.param(f"http://h/{ACCOUNT}/q%00", id="NUL"),
        pytest.param(f"http://h/{ACCOUNT}/q%2Fr", id="encoded slash"),
        pytest.param(f"http://h/{ACCOUNT}/%FF", id="not utf-8"),
        pytest.param(f"http://h/{ACCOUNT}/\ud800", id="surrogate"),
        pytest.param(f"http://h/{ACCOUNT}/é", id="non-ASCII letter"),
        pytest.param(f"http://h/{ACCOUNT}/" + "q" * 81, id="too long"),
        pytest.param(f"http://{'h' * 2_048}/{ACCOUNT}/q", id="URL too long"),
        pytest.param("/" * 100_000, id="100,000 slashes"),
    ],
)
def test_invalid_queue_url_raises_queue_does_not_exist(text: str) -> None:
    with pytest.raises(QueueDoesNotExist):
        parse_queue_url(text)


@pytest.mark.parametrize("base", ["http://localhost:9324", "http://localhost:9324/"])
def test_queue_url_round_trips(base: str) -> None:
    url = queue_url(base, ACCOUNT, "q.fifo")
    assert url == f"http://localhost:9324/{ACCOUNT}/q.fifo"
    assert parse_queue_url(url) == (ACCOUNT, "q.fifo")


@pytest.mark.parametrize(
    ("region", "arn"),
    [
        pytest.param("us-east-1", f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", id="aws"),
        pytest.param("cn-north-1", f"arn:aws-cn:sqs:cn-north-1:{ACCOUNT}:q", id="China"),
        pytest.param(
            "us-gov-west-1", f"arn:aws-us-gov:sqs:us-gov-west-1:{ACCOUNT}:q", id="GovCloud"
        ),
    ],
)
def test_queue_arn_round_trips(region: str, arn: str) -> None:
    assert queue_arn(region, ACCOUNT, "q") == arn
    parsed = parse_arn(arn)
    assert parsed is not None
    assert (parsed.service, parsed.region, parsed.account) == ("sqs", region, ACCOUNT)
    assert parsed.resource == "q"
    assert str(parsed) == arn


def test_resource_of_an_arn_may_contain_colons() -> None:
    assert parse_arn("arn:aws:lambda:r:1:function:f") == Arn(
        "aws", "lambda", "r", "1", "function:f"
    )


@pytest.mark.parametrize(
    "text", ["", "arn", "arn:aws:sqs:us-east-1:123456789012", "arn:aws:sqs:r:1:", "urn:aws:s:r:1:q"]
)
def test_incomplete_arn_is_not_parsed(text: str) -> None:
    assert parse_arn(text) is None
