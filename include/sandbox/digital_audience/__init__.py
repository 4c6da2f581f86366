"""Digital Audience: REST API, session cookie, and the reader of the S3 folders."""

from typing import Final

VENDOR: Final = "digital_audience"
