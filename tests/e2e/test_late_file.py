"""A load whose file comes later than its run."""

from __future__ import annotations

import gzip
import stat
from pathlib import Path

import pytest

from scripts.local_stack import wait_for
from tests.e2e.runs import LOAD_DATE, s3_of
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_a_load_waits_for_its_file_in_the_triggerer_and_lists_its_rejects(stack: Stack) -> None:
    dag_id = "onboard_late_list"
    s3 = s3_of(stack.sandbox)
    s3.create_bucket(
        Bucket="crm-exports", CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name}
    )
    stack.airflow.wait_for_dags(dag_id)
    stack.airflow.unpause(dag_id)
    run_id = stack.airflow.trigger(dag_id, {"load_date": LOAD_DATE})
    wait_for(
        lambda: stack.airflow.task_states(dag_id, run_id).get("wait_for_prerequisites") == "deferred",
        "The wait for the file",
        timeout=300,
    )
    rows = "Name;E-mail;Mobile\nx;A@x.example;0612345678\n;not an address;06-bad\ny;b@x.example;\n"
    s3.put_object(Bucket="crm-exports", Key="late/20261120.csv.gz", Body=gzip.compress(rows.encode()))

    assert stack.airflow.wait_for_run(dag_id, run_id) == "success", stack.airflow.task_states(dag_id, run_id)
    record = stack.airflow.xcom(dag_id, run_id, "record_load")
    assert (record["rows_read"], record["rows_sent"], record["rejected"]) == (3, 2, 1)
    rejects = Path(record["rejects_file"])
    assert rejects.parent == stack.include.parent / "rejects" / "late_list"
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    assert rejects.read_text().splitlines() == [
        "file,row,field,outcome,reason,sample",
        ",2,email,row,invalid_email,n***",
        ",2,phone,row,invalid_phone,06****",
    ]
