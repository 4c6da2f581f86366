"""File of rejected rows and fields: in a folder of the owner, never where a vendor reads."""

from __future__ import annotations

import re
from collections.abc import Iterator

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.storage.file_writer import PART_SIZE, write_file
from audience_onboarding.storage.source_urls import ClientFactory, split_url

_MAX_NAME = 200


def rejects_url(folder: str, *, load_date: str, run_id: str) -> str:
    """Return the file of one run. A retry overwrites the file of the try before.

    :param folder: a path or ``s3://bucket/prefix``.
    """
    # Run ids contain colons and plus signs, which some file systems and tools do not accept.
    name = re.sub(r"[^A-Za-z0-9._-]", "-", run_id)[:_MAX_NAME]
    return f"{folder.rstrip('/')}/{load_date}-{name}.csv"


def write_rejects(url: str, blocks: Iterator[bytes], *, s3_client: ClientFactory | None = None) -> None:
    """Write the file, complete or not at all.

    :param url: a path, ``file:///path`` or ``s3://bucket/key``.
    :raises ConfigurationError: the folder is not writable, or another kind of URL.
    :raises AudienceOnboardingError: error of S3, see :func:`.translate_errors`.
    """
    from audience_onboarding.crm.sources.text_stream import buffered

    scheme, rest = split_url(url)
    if scheme != "file" and (scheme != "s3" or rest.startswith("/") or not rest or s3_client is None):
        raise ConfigurationError(
            what="Invalid path of the rejects",
            where=url,
            why="it is not a path, file:///path or s3://bucket/prefix",
            next_step="Correct 'rejects.path' of the definition",
        )
    write_file(
        url,
        buffered(blocks, PART_SIZE),
        s3_client=s3_client,  # type: ignore[arg-type] # not called for a file
        content_type="text/csv; charset=utf-8",
        failure="Writing the rejects failed, so nothing is sent",
        next_step="Correct 'rejects' in the definition, or the permissions of the folder",
    )
