from __future__ import annotations

import pickle

import botocore.exceptions as boto
import pytest

from audience_onboarding.exceptions import (
    AudienceOnboardingError,
    BucketNotFoundError,
    ConditionalWriteUnsupportedError,
    ConfigurationError,
    StorageAccessError,
    StorageUnavailableError,
    TerminalError,
    TransientError,
)
from audience_onboarding.storage.s3_errors import NoSuchKey, PreconditionFailed, translate_errors

SECRET = "AKIACANARY"


def answer(code: str, status: int, operation: str = "PutObject") -> boto.ClientError:
    return boto.ClientError(
        {
            "Error": {"Code": code, "Message": f"the key {SECRET} is bad"},
            "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "REQ1"},  # type: ignore[typeddict-item]
        },
        operation,
    )


def translate(error: Exception, operation: str = "PutObject") -> Exception:
    with pytest.raises(Exception) as caught, translate_errors(operation, bucket="b", key="k/é.csv"):  # noqa: PT011
        raise error
    return caught.value


ANSWERS: list[tuple[str, int, str, type[AudienceOnboardingError]]] = [
    ("NoSuchBucket", 404, "PutObject", BucketNotFoundError),
    ("404", 404, "HeadBucket", BucketNotFoundError),
    ("AccessDenied", 403, "PutObject", StorageAccessError),
    ("403", 403, "HeadObject", StorageAccessError),
    ("InvalidAccessKeyId", 403, "PutObject", StorageAccessError),
    ("SignatureDoesNotMatch", 403, "PutObject", StorageAccessError),
    ("ExpiredToken", 400, "PutObject", StorageAccessError),
    ("RequestTimeTooSkewed", 403, "PutObject", StorageAccessError),
    ("PermanentRedirect", 301, "PutObject", ConfigurationError),
    ("AuthorizationHeaderMalformed", 400, "PutObject", ConfigurationError),
    ("NotImplemented", 501, "PutObject", ConditionalWriteUnsupportedError),
    ("501", 501, "PutObject", ConditionalWriteUnsupportedError),
    ("SlowDown", 503, "UploadPart", StorageUnavailableError),
    ("503", 503, "HeadObject", StorageUnavailableError),
    ("InternalError", 500, "UploadPart", StorageUnavailableError),
    # CompleteMultipartUpload may answer 200 and then an error.
    ("InternalError", 200, "CompleteMultipartUpload", StorageUnavailableError),
    ("RequestTimeout", 400, "PutObject", StorageUnavailableError),
    ("429", 429, "PutObject", StorageUnavailableError),
    ("ConditionalRequestConflict", 409, "PutObject", StorageUnavailableError),
    ("NoSuchUpload", 404, "CompleteMultipartUpload", StorageUnavailableError),
    ("EntityTooLarge", 400, "PutObject", TerminalError),
    ("", 418, "PutObject", TerminalError),
]


def test_answers() -> None:
    for code, status, operation, kind in ANSWERS:
        error = translate(answer(code, status, operation), operation)
        assert type(error) is kind, (code, status)
        parts = (operation, "s3://b/k/é.csv", "REQ1", str(status), code)
        assert [part for part in parts if part not in str(error)] == []
        assert SECRET not in str(error)
        assert error.__cause__ is None
        assert error.__suppress_context__
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_outcomes_that_callers_settle() -> None:
    for code, status, operation, kind in (
        ("PreconditionFailed", 412, "PutObject", PreconditionFailed),
        ("412", 412, "CompleteMultipartUpload", PreconditionFailed),
        ("NoSuchKey", 404, "GetObject", NoSuchKey),
        ("404", 404, "HeadObject", NoSuchKey),
    ):
        assert type(translate(answer(code, status, operation), operation)) is kind


def test_failures_of_the_client() -> None:
    url = {"endpoint_url": "https://x"}
    kinds: dict[Exception, type[AudienceOnboardingError]] = {
        boto.NoCredentialsError(): StorageAccessError,
        boto.PartialCredentialsError(provider="x", cred_var="y"): StorageAccessError,
        boto.EndpointConnectionError(**url): StorageUnavailableError,
        boto.ConnectTimeoutError(**url): StorageUnavailableError,
        boto.ReadTimeoutError(**url): StorageUnavailableError,
        boto.ConnectionClosedError(**url): StorageUnavailableError,
        boto.SSLError(**url, error="x"): StorageUnavailableError,
        boto.IncompleteReadError(actual_bytes=1, expected_bytes=2): StorageUnavailableError,
        boto.ParamValidationError(report=f"bad {SECRET}"): ConfigurationError,
        boto.NoRegionError(): ConfigurationError,
        boto.DataNotFoundError(data_path="x"): TerminalError,
    }
    for error, kind in kinds.items():
        found = translate(error)
        assert type(found) is kind, error
        assert type(error).__name__ in str(found)
        assert SECRET not in str(found)


def test_transient_is_what_a_retry_may_help() -> None:
    assert isinstance(translate(answer("SlowDown", 503)), TransientError)
    assert not isinstance(translate(answer("AccessDenied", 403)), TransientError)
    # Other exceptions pass.
    assert isinstance(translate(ZeroDivisionError()), ZeroDivisionError)
