"""Record the calls of a server's clients, and check them against the promises of SQS.

`client` calls servers, `recording_client` records what the calls did to messages, `history` holds
the records, and `checker` finds the violations in them. The suites `tests.crash`, `tests.cluster`,
`tests.soak` and `tests.power` use these modules, and add their own loads.
"""
