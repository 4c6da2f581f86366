"""Where a person looks at an object in S3."""

from __future__ import annotations

from urllib.parse import quote


def s3_object_url(*, bucket: str, key: str, region: str | None = None, endpoint: str | None = None) -> str:
    """The object in the AWS console, or at the endpoint of another S3 storage.

    :param region: where the console looks; empty: it finds out.
    :param endpoint: of the storage; empty: AWS.
    """
    if endpoint and "amazonaws.com" not in endpoint:
        return f"{endpoint.rstrip('/')}/{quote(bucket)}/{quote(key, safe='/=')}"
    at = f"&region={quote(region)}" if region else ""
    return f"https://s3.console.aws.amazon.com/s3/object/{quote(bucket)}?prefix={quote(key, safe='/=')}{at}"
