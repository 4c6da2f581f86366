"""Maps botocore's exceptions to the package's errors.

Messages name bucket, key, operation, error code and request id; never the service's message or a body.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import botocore.exceptions as boto

from audience_onboarding.exceptions import (
    AudienceOnboardingError,
    BucketNotFoundError,
    ConditionalWriteUnsupportedError,
    ConfigurationError,
    StorageAccessError,
    StorageUnavailableError,
    TerminalError,
)

_ACCESS = frozenset({
    "AccessDenied", "AccountProblem", "AllAccessDisabled", "ExpiredToken", "Forbidden", "InvalidAccessKeyId",
    "InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired", "Unauthorized",
})  # fmt: skip
_REGION = frozenset({
    "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "TemporaryRedirect",
})  # fmt: skip
_UNAVAILABLE = frozenset({
    "ConditionalRequestConflict", "InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable",
    "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests",
    "NoSuchUpload",  # another try of the load aborted this upload; the next one finds its object
})  # fmt: skip
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.NoAuthTokenError,
    boto.TokenRetrievalError,
)
_CONNECTION = (
    boto.ConnectionError,  # refused connections, connect timeouts, TLS and proxy failures
    boto.HTTPClientError,  # read timeouts, closed connections
    boto.IncompleteReadError,
    boto.ResponseStreamingError,
)


class PreconditionFailed(Exception):  # noqa: N818 (an outcome that callers handle, not an error of its own)
    """The condition of a write did not hold: the object exists, or has changed."""


class NoSuchKey(Exception):  # noqa: N818 (an outcome that callers handle)
    """The object does not exist. After a ``HEAD``, the bucket may not exist either."""


@contextmanager
def translate_errors(operation: str, *, bucket: str, key: str) -> Iterator[None]:
    """Raise botocore's exceptions as errors of the package.

    :param operation: name of the S3 operation, such as ``PutObject``.
    :raises PreconditionFailed: HTTP 412.
    :raises NoSuchKey: the object does not exist.
    :raises BucketNotFoundError: the bucket does not exist.
    :raises StorageAccessError: credentials missing, wrong, expired, or without the permission.
    :raises ConditionalWriteUnsupportedError: the endpoint does not implement the request.
    :raises StorageUnavailableError: server error, throttling, timeout, connection failure, concurrent write.
    :raises ConfigurationError: the bucket is in another region, or a name is invalid.
    :raises TerminalError: any other refusal.
    """
    where = f"{operation} s3://{bucket}/{key}"
    try:
        yield
    except boto.ClientError as error:
        raise _from_response(error, operation, where) from None
    except boto.BotoCoreError as error:
        raise _from_client(error, where) from None


def _from_response(error: boto.ClientError, operation: str, where: str) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", ""))
    metadata = error.response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    request_id = metadata.get("RequestId") or "none"
    why = f"{code or 'no code'}, HTTP {status}, request id {request_id}"
    not_found = status == HTTPStatus.NOT_FOUND
    if status == HTTPStatus.PRECONDITION_FAILED or code == "PreconditionFailed":
        return PreconditionFailed(where)
    if code == "NoSuchBucket" or (operation == "HeadBucket" and not_found):
        return BucketNotFoundError(
            what="Bucket not found",
            where=where,
            why=why,
            next_step="Check bucket, endpoint and region of the connection",
        )
    if code == "NoSuchKey" or (operation == "HeadObject" and not_found):
        return NoSuchKey(where)
    return _by_kind(code, status, where, why)


def _by_kind(code: str, status: int, where: str, why: str) -> AudienceOnboardingError:
    if code in _UNAVAILABLE:
        return StorageUnavailableError(what="Object storage not available", where=where, why=why)
    if code in _REGION or status in (301, 307):
        return ConfigurationError(
            what="The bucket is in another region or at another endpoint",
            where=where,
            why=why,
            next_step="Correct the region or the endpoint of the connection",
        )
    if code in _ACCESS or status in (401, 403):
        return StorageAccessError(
            what="Access to the object storage denied",
            where=where,
            why=why,
            next_step="Check the access key and its permissions. S3 also answers so for an object that does not exist "
            "if the key may not list the bucket",
        )
    if code == "NotImplemented" or status == HTTPStatus.NOT_IMPLEMENTED:
        return ConditionalWriteUnsupportedError(
            what="The endpoint does not implement this request",
            where=where,
            why=why,
            next_step="Use an endpoint with conditional writes (If-None-Match), or allow unconditional writes if there "
            "is only one writer",
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return StorageUnavailableError(what="Object storage not available", where=where, why=why)
    return TerminalError(
        what="Request rejected by the object storage",
        where=where,
        why=why,
        next_step="Find the code in the documentation of the storage; check bucket, key and connection",
    )


def _from_client(error: boto.BotoCoreError, where: str) -> AudienceOnboardingError:
    why = type(error).__name__
    if isinstance(error, _NO_CREDENTIALS):
        return StorageAccessError(
            what="No valid credentials for the object storage",
            where=where,
            why=why,
            next_step="Set access key and secret key in the connection",
        )
    if isinstance(error, _CONNECTION):
        return StorageUnavailableError(what="Object storage not reachable", where=where, why=why)
    if isinstance(error, (boto.ParamValidationError, boto.NoRegionError, boto.InvalidRegionError)):
        return ConfigurationError(
            what="Invalid request to the object storage",
            where=where,
            why=why,
            next_step="Check bucket name and region",
        )
    return TerminalError(
        what="Request to the object storage failed",
        where=where,
        why=why,
        next_step="Check the connection of the storage; the reason is the name of botocore's exception",
    )
