"""What botocore raises, in the package's terms.

Messages name bucket, key, operation, error code and request id. They never carry the service's message or a
body.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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

_ACCESS = frozenset(
    [
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "ExpiredToken",
        "Forbidden",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "Unauthorized",
    ]
)
_REGION = frozenset(
    [
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
        "TemporaryRedirect",
    ]
)
_UNAVAILABLE = frozenset(
    [
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        # Another try of the same load aborted our upload; the next one finds what it wrote.
        "NoSuchUpload",
    ]
)
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.NoAuthTokenError,
    boto.TokenRetrievalError,
)
_CONNECTION = (
    boto.ConnectionError,  # refused connections, connect time-outs, TLS and proxy failures
    boto.HTTPClientError,  # read time-outs, closed connections
    boto.IncompleteReadError,
    boto.ResponseStreamingError,
)


class PreconditionFailed(Exception):  # noqa: N818 (an outcome that callers settle, not an error of its own)
    """The condition of a write did not hold: the object exists, or is not the one that was seen."""


class NoSuchKey(Exception):  # noqa: N818 (an outcome that callers settle)
    """The object does not exist (a ``HEAD`` cannot tell whether its bucket does)."""


@contextmanager
def translate_errors(operation: str, *, bucket: str, key: str) -> Iterator[None]:
    """Turn what botocore raises inside into errors of the package.

    :param operation: name of the S3 operation, such as ``PutObject``.
    :raises PreconditionFailed: HTTP 412.
    :raises NoSuchKey: the object does not exist.
    :raises BucketNotFoundError: the bucket does not exist.
    :raises StorageAccessError: credentials missing, wrong, expired, or not allowed to do this.
    :raises ConditionalWriteUnsupportedError: the endpoint does not implement the request.
    :raises StorageUnavailableError: server errors, throttling, time-outs, connection failures, concurrent
        writes.
    :raises ConfigurationError: the bucket is in another region, or a name is not allowed.
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
    if status == 412 or code == "PreconditionFailed":  # noqa: PLR2004
        return PreconditionFailed(where)
    if code == "NoSuchBucket" or (operation == "HeadBucket" and status == 404):  # noqa: PLR2004
        return BucketNotFoundError(
            what="the bucket does not exist",
            where=where,
            why=why,
            next_step="Check bucket, endpoint and region of the connection",
        )
    if code == "NoSuchKey" or (operation == "HeadObject" and status == 404):  # noqa: PLR2004
        return NoSuchKey(where)
    return _by_kind(code, status, where, why)


def _by_kind(code: str, status: int, where: str, why: str) -> AudienceOnboardingError:
    if code in _UNAVAILABLE:
        return StorageUnavailableError(what="the object storage is not available", where=where, why=why)
    if code in _REGION or status in (301, 307):
        return ConfigurationError(
            what="the bucket is in another region or at another endpoint",
            where=where,
            why=why,
            next_step="Correct the region or the endpoint of the connection",
        )
    if code in _ACCESS or status in (401, 403):
        return StorageAccessError(
            what="the object storage refuses access",
            where=where,
            why=why,
            next_step="Check the access key and what it may do. S3 also answers so for an object that"
            " does not exist if the key may not list the bucket",
        )
    if code == "NotImplemented" or status == 501:  # noqa: PLR2004
        return ConditionalWriteUnsupportedError(
            what="the endpoint does not implement this request",
            where=where,
            why=why,
            next_step="Use an endpoint with conditional writes (If-None-Match), or allow unconditional writes"
            " if there is one writer only",
        )
    if status == 429 or status >= 500:  # noqa: PLR2004
        return StorageUnavailableError(what="the object storage is not available", where=where, why=why)
    return TerminalError(
        what="the object storage refuses the request",
        where=where,
        why=why,
        next_step="Look the code up in the documentation of the storage, and check bucket, key and connection",
    )


def _from_client(error: boto.BotoCoreError, where: str) -> AudienceOnboardingError:
    why = type(error).__name__
    if isinstance(error, _NO_CREDENTIALS):
        return StorageAccessError(
            what="there are no usable credentials for the object storage",
            where=where,
            why=why,
            next_step="Set access key and secret key in the connection",
        )
    if isinstance(error, _CONNECTION):
        return StorageUnavailableError(what="the object storage cannot be reached", where=where, why=why)
    if isinstance(error, (boto.ParamValidationError, boto.NoRegionError, boto.InvalidRegionError)):
        return ConfigurationError(
            what="the request to the object storage is not valid",
            where=where,
            why=why,
            next_step="Check bucket name and region",
        )
    return TerminalError(
        what="the request to the object storage failed",
        where=where,
        why=why,
        next_step="Check the connection of the storage; the name of the error is that of botocore",
    )
