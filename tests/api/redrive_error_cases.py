"""Error cases of redrive policies and of message move tasks."""

from __future__ import annotations

import base64
import json
import uuid

from tests.api.error_cases import IPV, MP, CaseServer, ErrorCase, Parameters, arn, redrive, value

FORMAT = (
    "You must use this format to specify the {}: "
    "arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
)
NO_RESOURCE = "The resource that you specified for the {} parameter doesn't exist."


def _policies() -> dict[str, tuple[str, str]]:
    missing = "Redrive policy does not contain mandatory attribute: {}."
    count = "Invalid value for maxReceiveCount: {}, valid values are from 1 to 1000 both inclusive."
    same_type = "Dead-letter queue must be same type of queue as the source.."
    extra = "Only following attributes are supported: [maxReceiveCount, deadLetterTargetArn]."
    return {
        "no maxReceiveCount": (
            json.dumps({"deadLetterTargetArn": arn("dead")}),
            missing.format("maxReceiveCount"),
        ),
        "no target": ('{"maxReceiveCount":1}', missing.format("deadLetterTargetArn")),
        "empty": ("{}", missing.format("maxReceiveCount")),
        "count 0": (redrive(0, "dead"), count.format(0)),
        "count 1001": (redrive(1001, "dead"), count.format(1001)),
        "count -36": (redrive(-36, "dead"), count.format(-36)),
        "count is not a number": (redrive("many", "dead"), count.format("many")),
        "count is a fraction": (redrive(1.5, "dead"), count.format(1.5)),
        "extra key": (redrive(1, "dead", colour="red"), extra),
        "target is no ARN": (
            json.dumps({"deadLetterTargetArn": "dead", "maxReceiveCount": 1}),
            "Dead-letter target ARN should be fully qualified ARN.",
        ),
        "target is a topic": (
            redrive(1, "arn:aws:sns:us-east-1:000000000000:topic"),
            "Only SQS queues are valid resources for deadLetterTargetArn.",
        ),
        "missing target queue": (redrive(1, "missing"), "Dead letter target does not exist."),
        "target in another region": (
            redrive(1, arn("dead", region="eu-west-1")),
            "Dead letter target does not exist.",
        ),
        "target in another partition": (
            redrive(1, arn("dead").replace("aws", "aws-cn")),
            "Dead letter target does not exist.",
        ),
        "target is a FIFO queue": (redrive(1, "ordered.fifo"), same_type),
        "target in another account": (
            redrive(1, arn("dead", "111122223333")),
            "Dead-letter target owner should be same as the source.",
        ),
        "target denies it": (
            redrive(1, "denies"),
            (
                "Amazon SQS can't use the queue as a dead-letter queue. "
                "The redrive allow policy of the queue doesn't allow it."
            ),
        ),
    }


def _allow(permission: str, *arns: str, **others: object) -> str:
    sources = {"sourceQueueArns": arns} if arns else {}
    return json.dumps({"redrivePermission": permission, **sources, **others})


def _policy_cases() -> dict[str, ErrorCase]:
    cases: dict[str, ErrorCase] = {}
    not_json = (
        "Invalid value for the parameter RedrivePolicy. "
        "Reason: Redrive policy is not a valid JSON map."
    )
    texts = {
        name: (text, value("RedrivePolicy", why, text)) for name, (text, why) in _policies().items()
    }
    for what, text in {"text": "no JSON", "list": "[1]", "number": "7"}.items():
        texts[f"a {what}"] = (text, not_json)
    texts["longer than 8192 bytes"] = (redrive(1, "dead").ljust(8193), not_json)
    for name, (text, words) in texts.items():
        attributes = {"RedrivePolicy": text}
        create = {"QueueName": "new", "Attributes": attributes}
        cases[f"redrive policy: {name}, set"] = _set_case(attributes, words)
        cases[f"redrive policy: {name}, created"] = ErrorCase("CreateQueue", create, IPV, words)
    fifo = {"FifoQueue": "true", "RedrivePolicy": redrive(1, "dead")}
    words = "Dead-letter queue must be same type of queue as the source.."
    cases["redrive policy: standard target of FIFO"] = ErrorCase(
        "CreateQueue",
        {"QueueName": "new.fifo", "Attributes": fifo},
        IPV,
        value("RedrivePolicy", words, redrive(1, "dead")),
    )
    return cases


def _set_case(attributes: dict[str, str], text: str) -> ErrorCase:
    return ErrorCase(
        "SetQueueAttributes", {"QueueUrl": "plain", "Attributes": attributes}, IPV, text
    )


def _allow_cases() -> dict[str, ErrorCase]:
    unsupported = (
        "Invalid value for the parameter RedriveAllowPolicy. Reason: Amazon SQS can't create the "
        "redrive allow policy, as it\u2019s in an unsupported format."
    )
    bad = {
        "no JSON": "no JSON",
        "empty map": "{}",
        "unknown permission": _allow("byAll"),
        "unknown key": _allow("allowAll", colour="red"),
        "sourceQueueArns is no list": '{"redrivePermission":"byQueue","sourceQueueArns":"x"}',
        "sourceQueueArns has no ARN": _allow("byQueue", "x"),
        "ARN that no queue can have": _allow("byQueue", arn("q" * 81)),
        "longer than 8192 bytes": _allow("byQueue", arn("plain")).ljust(8193),
    }
    reasons = {
        "byQueue without ARNs": (
            _allow("byQueue"),
            (
                "When you specify the byQueue permission type, you must also specify one or more "
                "sourceQueueArns values."
            ),
        ),
        "11 ARNs": (
            _allow("byQueue", *(arn(f"q{number}") for number in range(11))),
            "The maximum number of source queue ARNs you can specify is 10.",
        ),
        "ARNs with allowAll": (_allow("allowAll", arn("plain")), _BY_QUEUE),
        "ARNs with denyAll": (_allow("denyAll", arn("plain")), _BY_QUEUE),
    }
    cases = {
        f"redrive allow policy: {name}": _set_case({"RedriveAllowPolicy": text}, unsupported)
        for name, text in bad.items()
    }
    for name, (text, why) in reasons.items():
        reason = f"Amazon SQS can't create the redrive allow policy. {why}"
        words = value("RedriveAllowPolicy", reason, text)
        cases[f"redrive allow policy: {name}"] = _set_case({"RedriveAllowPolicy": text}, words)
    return cases


_BY_QUEUE = "To specify one or more source queue ARNs, you must set redrivePermission to byQueue."


# Message move tasks


def _running(server: CaseServer) -> str:
    """Start a move task that does not end while the clock stands; return its source."""
    name = server.create_fresh()
    server.create_fresh(RedrivePolicy=redrive(1, name))
    for _ in range(2):
        server.call("SendMessage", QueueUrl=name, MessageBody="x")
    server.call(
        "StartMessageMoveTask",
        SourceArn=arn(name),
        DestinationArn=arn("plain"),
        MaxNumberOfMessagesPerSecond=1,
    )
    return name


def _second_start(server: CaseServer) -> Parameters:
    return {"SourceArn": arn(_running(server))}


def _cancelled(server: CaseServer) -> Parameters:
    name = _running(server)
    (task,) = server.call("ListMessageMoveTasks", SourceArn=arn(name))["Results"]
    server.call("CancelMessageMoveTask", TaskHandle=task["TaskHandle"])
    return {"TaskHandle": task["TaskHandle"]}


def _handle(source: str) -> Parameters:
    content = json.dumps({"taskId": str(uuid.UUID(int=7)), "sourceArn": source})
    return {"TaskHandle": base64.b64encode(content.encode()).decode()}


def _start_cases() -> dict[str, ErrorCase]:
    start, dead = "StartMessageMoveTask", arn("dead")
    missing = "ResourceNotFoundException"
    return {
        "source is no dead-letter queue": ErrorCase(
            start,
            {"SourceArn": arn("plain")},
            IPV,
            "Source queue must be configured as a Dead Letter Queue.",
        ),
        "missing source queue": ErrorCase(
            start, {"SourceArn": arn("missing")}, missing, NO_RESOURCE.format("SourceArn")
        ),
        "source of another service": ErrorCase(
            start,
            {"SourceArn": arn("dead").replace("sqs", "sns")},
            missing,
            NO_RESOURCE.format("SourceArn"),
        ),
        "source that no queue can be": ErrorCase(
            start, {"SourceArn": arn("q" * 81)}, missing, NO_RESOURCE.format("SourceArn")
        ),
        "source of another account": ErrorCase(
            start,
            {"SourceArn": arn("dead", "111122223333")},
            missing,
            NO_RESOURCE.format("SourceArn"),
        ),
        "missing destination queue": ErrorCase(
            start,
            {"SourceArn": dead, "DestinationArn": arn("missing")},
            missing,
            NO_RESOURCE.format("DestinationArn"),
        ),
        "a task is running": ErrorCase(
            start,
            _second_start,
            IPV,
            "There is already a task running. Only one active task is allowed for a source queue "
            "arn at a given time.",
        ),
        "source is no ARN": ErrorCase(
            start, {"SourceArn": "dead"}, IPV, FORMAT.format("SourceArn")
        ),
        "destination is no ARN": ErrorCase(
            start,
            {"SourceArn": dead, "DestinationArn": "plain"},
            IPV,
            FORMAT.format("DestinationArn"),
        ),
    }


def _destination_cases() -> dict[str, ErrorCase]:
    start, dead = "StartMessageMoveTask", arn("dead")
    rate = (
        "Value for parameter MaxNumberOfMessagesPerSecond is invalid. "
        "Reason: You must enter a number that's between 1 and 500."
    )
    return {
        "source is destination": ErrorCase(
            start,
            {"SourceArn": dead, "DestinationArn": dead},
            IPV,
            "Source queue arn and destination queue arn cannot be the same.",
        ),
        "destination of another type": ErrorCase(
            start,
            {"SourceArn": dead, "DestinationArn": arn("ordered.fifo")},
            IPV,
            "The source queue and destination queue must be of the same queue type.",
        ),
        "rate 0": ErrorCase(
            start, {"SourceArn": dead, "MaxNumberOfMessagesPerSecond": 0}, IPV, rate
        ),
        "rate 501": ErrorCase(
            start, {"SourceArn": dead, "MaxNumberOfMessagesPerSecond": 501}, IPV, rate
        ),
    }


def _task_cases() -> dict[str, ErrorCase]:
    listing, cancel = "ListMessageMoveTasks", "CancelMessageMoveTask"
    results = (
        "Value for parameter MaxResults is invalid. "
        "Reason: You must enter a number that's between 1 and 10."
    )
    no_handle = "The request must contain the parameter TaskHandle."
    bad_handle = "Value for parameter TaskHandle is invalid."
    missing = "ResourceNotFoundException"
    no_source = "The request must contain the parameter SourceArn."
    cases = {
        "no source": ErrorCase("StartMessageMoveTask", {}, MP, no_source),
        "empty source": ErrorCase("StartMessageMoveTask", {"SourceArn": ""}, MP, no_source),
        "MaxResults=0": ErrorCase(
            listing, {"SourceArn": arn("dead"), "MaxResults": 0}, IPV, results
        ),
        "MaxResults=11": ErrorCase(
            listing, {"SourceArn": arn("dead"), "MaxResults": 11}, IPV, results
        ),
        "list without source": ErrorCase(listing, {}, MP, no_source),
        "list of a source that is no ARN": ErrorCase(
            listing, {"SourceArn": "dead"}, IPV, FORMAT.format("SourceArn")
        ),
        "list of a missing source queue": ErrorCase(
            listing, {"SourceArn": arn("missing")}, missing, NO_RESOURCE.format("SourceArn")
        ),
        "no handle": ErrorCase(cancel, {}, MP, no_handle),
        "empty handle": ErrorCase(cancel, {"TaskHandle": ""}, MP, no_handle),
        "handle of a missing queue": ErrorCase(
            cancel, _handle(arn("missing")), missing, NO_RESOURCE.format("SourceArn")
        ),
        "handle of a missing task": ErrorCase(
            cancel, _handle(arn("dead")), missing, "Task does not exist."
        ),
        "task is not running": ErrorCase(
            cancel, _cancelled, IPV, "Only active tasks can be cancelled."
        ),
    }
    cases["handle of 1025 characters"] = ErrorCase(
        cancel, {"TaskHandle": "x" * 1025}, IPV, bad_handle
    )
    for text in ("garbage", "é", base64.b64encode(b'{"taskId":1}').decode()):
        cases[f"handle {text!r}"] = ErrorCase(cancel, {"TaskHandle": text}, IPV, bad_handle)
    for name in ("", "dead"):
        cases[f"handle of source {name!r}"] = ErrorCase(cancel, _handle(name), IPV, bad_handle)
    return cases


REDRIVE_CASES = {
    **_policy_cases(),
    **_allow_cases(),
    **{
        f"move task: {name}": case
        for name, case in {**_start_cases(), **_destination_cases(), **_task_cases()}.items()
    },
}
