"""What a task is going to need, imported before Airflow forks the process that it runs in.

Most tasks of a load do little, and to import what they do it with takes three times as long. A task's process is a fork
of a worker (of Celery, or of the LocalExecutor, whose workers are forks of the scheduler), so that what the worker has
imported is there already. The same goes for the DAG processor and the processes that parse DAG files.

Airflow's plugin calls :func:`preload` when a component starts; for Celery's workers, which start without a word to
plugins, see :mod:`audience_onboarding.celery_config`. Without it everything works as well, and takes longer.

Left out is what is not safe to take along over a fork: importing Polars or NumPy starts threads, which stay behind.
"""

from __future__ import annotations

import logging
import time
from importlib import import_module

from audience_onboarding.platform_registry import PLATFORMS

log = logging.getLogger(__name__)

MODULES = (
    # What the DAG files reach.
    "airflow.providers.standard.decorators.python",
    "airflow.serialization.definitions.assets",
    "audience_onboarding.pipelines.activate",
    "audience_onboarding.pipelines.factory",
    "audience_onboarding.pipelines.onboard",
    *(f"audience_onboarding.platforms.{platform}.tasks" for platform in PLATFORMS),
    # What their tasks reach when they run.
    "airflow.providers.amazon.aws.hooks.s3",
    "audience_onboarding.crm.runtime.spill_dir",
    "audience_onboarding.storage.reject_files",
    "audience_onboarding.storage.s3_errors",
    "audience_onboarding.storage.s3_upload",
    "audience_onboarding.storage.snapshot_files",
    "audience_onboarding.storage.file_sources",
    "boto3.s3.inject",
    "boto3.s3.transfer",
    "jinja2.ext",
)


def preload() -> None:
    """Import :data:`MODULES`, and work out what is the same for each list of phone numbers.

    Whatever goes wrong is logged: a task would fail of it, too, and says so where people look.
    """
    began = time.monotonic()
    try:
        for module in MODULES:
            import_module(module)
        from audience_onboarding.crm.identifiers import phone_grammar

        phone_grammar.prepare()
    except Exception:
        log.exception("Not all that tasks need could be imported in advance; they do it themselves")
    else:
        log.info("Imported in %.1f s what tasks need", time.monotonic() - began)
