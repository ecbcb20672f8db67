"""Authentication: by which scheme a request names its sender, if by any."""

from __future__ import annotations

from protocol.errors import SignatureDoesNotMatch
from queueserver.signatures.ambiguity import check_headers, check_query
from queueserver.signatures.authorization_header import parse_authorization
from queueserver.signatures.other_schemes import (
    form_has_version_2,
    has_version_2,
    version_2_is_unsupported,
)
from queueserver.signatures.parameters import SignatureParameters
from queueserver.signatures.presigned_url import is_presigned, parse_presigned
from queueserver.signatures.request_target import SignedQuery
from queueserver.signatures.requests import SignedRequest


def signature_parameters(request: SignedRequest, query: SignedQuery) -> SignatureParameters | None:
    """Return the parameters of the signature; None if the request has no credentials at all.

    Credentials that are not understood are never ignored: the request would become anonymous.

    Raises:
        SignatureDoesNotMatch: there are credentials both in a header and in the query string.
        IncompleteSignature: the credentials are incomplete, or of another scheme.
        MalformedQueryString: the query string can be read in more than one way.
    """
    has_header = b"authorization" in request.headers
    if has_header and not query.pairs:  # the usual request
        check_headers(request)
        return parse_authorization(request.headers)
    names = {name for name, _ in query.pairs}
    has_old_parameters = has_version_2(names)
    has_parameters = has_old_parameters or is_presigned(names)
    if not has_header and not has_parameters:
        if request.has_form and form_has_version_2(request.body):
            raise version_2_is_unsupported()
        return None
    if has_header and has_parameters:
        # AWS answers without a text.
        raise SignatureDoesNotMatch(
            "", reason="the request has credentials both in a header and in the query string"
        )
    if has_old_parameters:
        raise version_2_is_unsupported()
    check_headers(request)
    check_query(query)
    if has_header:
        return parse_authorization(request.headers)
    return parse_presigned(dict(query.pairs))
