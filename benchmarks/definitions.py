"""Audience definitions for the benchmarks, and DAGs without a purpose that have as many tasks."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.figures import ROOT

DEFINITION = """\
platform: digital_audience
name: List {number:05}
owner: crm-team
tags: [crm, nl]
campaign:
  name: Always-on
source:
  path: crm/list_{number:05}/{{load_date}}.csv
  columns:
    email: E-mail
    phone: Mobile
schedule:
  cron: "{minute} 6 * * *"
  timezone: Europe/Amsterdam
  start: 2026-01-01
activation:
  targets:
    - key: dv360
      account:
        platform: DV360
        name: Example NL
      segment_name: List {number:05}
      description: Always-on
      duration_days: 30
  extend:
    within_days: 7
    extend_by_days: 30
"""

EMPTY = """\
from datetime import datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("{dag_id}", schedule="{minute} 6 * * *", start_date=datetime(2026, 1, 1), catchup=False, tags=["crm", "nl"]):
{tasks}
{order}
"""

EMPTY_LOOP = """\
from datetime import datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

for number in range({count}):
    for kind, tasks in {tasks}.items():
        with DAG(
            f"{{kind}}_list_{{number:05}}",
            schedule=f"{{number % 60}} 6 * * *",
            start_date=datetime(2026, 1, 1),
            catchup=False,
            tags=["crm", "nl"],
        ) as dag:
            last = None
            for name in tasks:
                task = EmptyOperator(task_id=name)
                if last is not None:
                    last >> task
                last = task
        globals()[dag.dag_id] = dag
"""


def project(folder: Path, count: int) -> Path:
    """A folder with ``dags/audiences.py`` and so many definitions; gives the DAG file."""
    definitions = folder / "include" / "audiences"
    definitions.mkdir(parents=True)
    for number in range(count):
        text = DEFINITION.format(number=number, minute=number % 60)
        (definitions / f"list_{number:05}.yaml").write_text(text)
    dags = folder / "dags"
    dags.mkdir()
    return Path(shutil.copy(ROOT / "dags" / "audiences.py", dags))


def written_by_hand(folder: Path, count: int, tasks: Mapping[str, Sequence[str]]) -> list[Path]:
    """Write one file for each DAG, as a developer would write it by hand.

    :param tasks: of the DAGs of one definition: their names, by the beginning of the DAG's id.
    """
    folder.mkdir(parents=True)
    files = []
    for number in range(count):
        for kind, names in tasks.items():
            file = folder / f"{kind}_list_{number:05}.py"
            file.write_text(
                EMPTY.format(
                    dag_id=file.stem,
                    minute=number % 60,
                    tasks="\n".join(f'    {name} = EmptyOperator(task_id="{name}")' for name in names),
                    order=f"    {' >> '.join(names)}",
                )
            )
            files.append(file)
    return files


def in_a_loop(folder: Path, count: int, tasks: Mapping[str, Sequence[str]]) -> Path:
    """The same DAGs, made by one file in a loop."""
    folder.mkdir(parents=True)
    file = folder / "generated.py"
    file.write_text(
        EMPTY_LOOP.format(count=count, tasks={name: list(names) for name, names in tasks.items()})
    )
    return file
