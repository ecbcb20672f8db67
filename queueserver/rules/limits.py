"""The limits of SQS: each number stated once, with its unit and its source.

A limit of a parameter is inclusive: a value equal to it is allowed. The other modules of this
package check those limits and have the texts of the errors.
"""

from __future__ import annotations

# Lists of any action

MAXIMUM_NAMES = 100
"""The server's own limit of attribute names or tag keys in one list; AWS documents none.

A receive holds its lists while it waits. A queue has 21 attributes and at most 50 tags, a message
at most 10 attributes."""

# Queues

MAXIMUM_NAME_CHARACTERS = 80
"""AWS: 80 characters, for a queue (with `.fifo`), a batch entry's id and a permission's label."""

MAXIMUM_QUEUES_PER_PAGE = 1_000
"""AWS: 1,000 queue URLs in one answer to ListQueues and ListDeadLetterSourceQueues."""

COOLDOWN_SECONDS = 60
"""AWS: 60 s between two purges, and between DeleteQueue and CreateQueue with the same name."""

MAXIMUM_TAGS = 50
"""AWS: 50 tags per queue."""

MAXIMUM_TAG_KEY_CHARACTERS = 128
"""AWS: 1 to 128 characters."""

MAXIMUM_TAG_VALUE_CHARACTERS = 256
"""AWS: 0 to 256 characters."""

MINIMUM_RETENTION_SECONDS = 60
"""AWS: 60 s to 14 days."""

MAXIMUM_RETENTION_SECONDS = 1_209_600
"""AWS: 60 s to 14 days."""

MINIMUM_KMS_REUSE_SECONDS = 60
"""AWS: 60 s to 24 hours for KmsDataKeyReusePeriodSeconds."""

MAXIMUM_KMS_REUSE_SECONDS = 86_400
"""AWS: 60 s to 24 hours for KmsDataKeyReusePeriodSeconds."""

MAXIMUM_KMS_KEY_ID_CHARACTERS = 2_048
"""AWS: 2,048 characters for a key id in KMS; SQS does not check the id when it is set."""

# Messages

MINIMUM_MESSAGE_SIZE_BYTES = 1_024
"""AWS: the lowest value of the queue attribute MaximumMessageSize, 1,024 bytes."""

MAXIMUM_MESSAGE_BYTES = 1_048_576
"""AWS: 1 MiB per message since August 2025."""

MAXIMUM_BATCH_BYTES = 1_048_576
"""AWS: 1 MiB for all messages of a batch together, whatever the queue's MaximumMessageSize."""

MAXIMUM_BATCH_ENTRIES = 10
"""AWS: 1 to 10 entries per batch."""

MAXIMUM_DELAY_SECONDS = 900
"""AWS: 0 to 15 minutes."""

MAXIMUM_FIFO_ID_CHARACTERS = 128
"""AWS: 128 characters, for a message group, a deduplication id and a receive attempt id."""

MAXIMUM_MESSAGE_ATTRIBUTES = 10
"""AWS: 10 attributes per message."""

MAXIMUM_ATTRIBUTE_NAME_BYTES = 256
"""AWS: 256 bytes."""

MAXIMUM_ATTRIBUTE_TYPE_BYTES = 256
"""AWS: 256 bytes."""

MAXIMUM_TRACE_HEADER_BYTES = 512
"""The server's own limit; AWS documents none. X-Ray's headers take 74 to about 200 bytes."""

MAXIMUM_NUMBER_DIGITS = 38
"""AWS: 38 significant digits in an attribute of type Number."""

MINIMUM_NUMBER_EXPONENT = -128
"""AWS: an attribute of type Number is between 10^-128 and 10^126."""

MAXIMUM_NUMBER_EXPONENT = 126
"""AWS: an attribute of type Number is between 10^-128 and 10^126."""

# Receives

MAXIMUM_MESSAGES_PER_RECEIVE = 10
"""AWS: 1 to 10 messages per ReceiveMessage."""

MAXIMUM_IN_FLIGHT = 120_000
"""AWS: about 120,000 messages of a queue in flight. The default of the setting `in_flight_limit`.

Storage enforces the limit when it receives: see storage/messages/in_flight.py."""

MAXIMUM_WAIT_TIME_SECONDS = 20
"""AWS: a long poll waits 0 to 20 s."""

MAXIMUM_VISIBILITY_SECONDS = 43_200
"""AWS: a visibility timeout is 0 s to 12 hours, and 12 hours in total since the receive."""

# Dead-letter queues and message move tasks

MAXIMUM_ARN_CHARACTERS = 2_048
"""AWS: 2,048 characters for an ARN in IAM. The ARN of a queue has at most 190."""

MAXIMUM_RECEIVE_COUNT = 1_000
"""AWS: maxReceiveCount of a redrive policy is 1 to 1,000."""

MAXIMUM_SOURCE_QUEUES = 10
"""AWS: 10 source queues in a redrive allow policy."""

MAXIMUM_MOVE_TASKS_PER_PAGE = 10
"""AWS: 1 to 10 tasks in one answer to ListMessageMoveTasks."""

MAXIMUM_MOVED_PER_SECOND = 500
"""AWS: a move task moves 1 to 500 messages per second."""

MAXIMUM_ACTIVE_MOVE_TASKS = 100
"""AWS: 100 active move tasks per account."""

MAXIMUM_TASK_HANDLE_CHARACTERS = 1_024
"""The server's own limit; its task handles have about 200 characters."""

MAXIMUM_MOVE_TASK_HOURS = 36
"""AWS: a move task runs for at most 36 hours."""

# Access policies

MAXIMUM_POLICY_BYTES = 8_192
"""AWS: 8,192 bytes per policy. The server's own limit of redrive policies, too."""

MAXIMUM_POLICY_STATEMENTS = 20
"""AWS: 20 statements per policy."""

MAXIMUM_POLICY_PRINCIPALS = 50
"""AWS: 50 principals per policy."""

MAXIMUM_POLICY_CONDITIONS = 10
"""AWS: 10 conditions per policy."""

MAXIMUM_STATEMENT_ACTIONS = 7
"""AWS: 7 actions per statement."""
