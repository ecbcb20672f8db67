"""Record what clients of a server saw, and check it against what SQS promises.

`client` calls servers, `recording_client` records what the calls did to messages, `history` holds
the records, and `checker` finds the violations in them. The suites `tests.crash`, `tests.cluster`,
`tests.soak` and `tests.power` use these modules, and add what is specific to each of them.
"""
