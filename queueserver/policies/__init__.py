"""The policy language of AWS: who may do what to which queue, and under which conditions.

`policy.compile_policy` checks a document once and keeps it in a form that is quick to evaluate.
`evaluation.decide` combines the policies of a user with the policy of a queue. The package is
pure: it reads no clock, no file and no socket.

A walk from the document to the decision: `documents` (the grammar of JSON), `statements`, and
the elements of a statement: `principal_elements`, `actions`, `resource_elements` and
`conditions`. A condition combines one of the `operators` with one of the `condition_keys`;
`comparisons` compare one value, and `variables` and `patterns` are the texts with `${...}`, `*`
and `?`. `requests` and `principals` describe what is decided about.
"""
