"""Airflow's Celery configuration, with workers that import the tasks' modules before they fork.

To use it, set ``[celery] celery_config_options``, or ``AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS``, to
``audience_onboarding.celery_config.CELERY_CONFIG``. A custom configuration calls
:func:`audience_onboarding.preload.preload` from Celery's signal ``import_modules``, as below.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
from celery.signals import import_modules

from audience_onboarding.preload import preload

CELERY_CONFIG = DEFAULT_CELERY_CONFIG


def _preload(**_: Any) -> None:
    """Run once per worker, before Celery forks the processes of the tasks."""
    preload()


import_modules.connect(_preload, weak=False)
