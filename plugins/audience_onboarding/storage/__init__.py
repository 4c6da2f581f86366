"""Object storage: reading sources and writing the file that a vendor scans, exactly once.

Importing this package is cheap and safe while a DAG file is parsed. The work is in modules that callers
import where it is done::

    from audience_onboarding.storage.s3_upload import publish_object
    from audience_onboarding.storage.file_sources import resolve_source
"""
