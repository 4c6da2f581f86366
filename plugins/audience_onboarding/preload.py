"""Imports the modules of tasks before Airflow forks the tasks' processes.

Most tasks of a load are short; their imports take three times as long as their work. A task runs in a fork of a worker
(Celery's, or the LocalExecutor's, which are forks of the scheduler), so it inherits the worker's imports. The same is
true of the DAG processor and the processes that parse DAG files.

The plugin calls :func:`preload` when a component starts. Celery's workers do not notify plugins, see
:mod:`audience_onboarding.celery_config`. Without the preload everything works, but slower.

Polars and NumPy are not imported: they start threads, which do not survive a fork.
"""

from __future__ import annotations

import logging
import time
from importlib import import_module

from audience_onboarding.platform_registry import PLATFORMS

log = logging.getLogger(__name__)

MODULES = (
    # Imports of the DAG files.
    "airflow.providers.standard.decorators.python",
    "airflow.serialization.definitions.assets",
    "audience_onboarding.pipelines.activate",
    "audience_onboarding.pipelines.factory",
    "audience_onboarding.pipelines.onboard",
    *(f"audience_onboarding.platforms.{platform}.tasks" for platform in PLATFORMS),
    # Imports of their tasks at run time.
    "airflow.providers.amazon.aws.hooks.s3",
    "audience_onboarding.crm.runtime.spill_dir",
    "audience_onboarding.storage.reject_files",
    "audience_onboarding.storage.s3_errors",
    "audience_onboarding.storage.s3_upload",
    "audience_onboarding.storage.snapshot_files",
    "audience_onboarding.storage.file_sources",
    "audience_onboarding.storage.s3_sources",
    "boto3.s3.inject",
    "boto3.s3.transfer",
    "jinja2.ext",
)


def preload() -> None:
    """Import :data:`MODULES`, and build the phone number patterns.

    An error is logged only: a task with the same error fails with its own message.
    """
    started = time.monotonic()
    try:
        for module in MODULES:
            import_module(module)
        from audience_onboarding.crm.identifiers import phone_grammar

        phone_grammar.prepare()
    except Exception:
        log.exception("Preload failed; tasks import their modules themselves")
    else:
        log.info("Preloaded the modules of tasks in %.1f s", time.monotonic() - started)
