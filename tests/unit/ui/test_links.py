"""Addresses of pages of Airflow, and of objects in S3."""

from __future__ import annotations

import json

import pytest

from audience_onboarding.platforms.digital_audience.links import storage_of
from audience_onboarding.ui.links import Hrefs, objects_of, rejects_of
from audience_onboarding.ui.stored_records import Load
from audience_onboarding.urls import s3_object_url


def test_pages_are_below_the_path_of_airflow() -> None:
    for base, begins in (("", ""), ("/airflow", "/airflow"), ("/airflow/", "/airflow")):
        hrefs = Hrefs(base)
        run = "scheduled__2026-11-20T03:00:00+00:00"
        encoded = "scheduled__2026-11-20T03%3A00%3A00%2B00%3A00"
        assert hrefs.dag("onboard_a.b") == f"{begins}/dags/onboard_a.b"
        assert hrefs.dag("d", "backfills") == f"{begins}/dags/d/backfills"
        task = f"{begins}/dags/d/runs/{encoded}/tasks/t/required_actions"
        assert hrefs.task("d", run, "t", "required_actions") == task
        assert hrefs.asset(7) == f"{begins}/assets/7"


@pytest.mark.parametrize(
    ("endpoint", "region", "kept", "url"),
    [
        (None, None, {}, "https://s3.console.aws.amazon.com/s3/object/b?prefix=k/audience=1/x.csv"),
        (
            "https://s3.eu-west-1.amazonaws.com",
            "eu-west-1",
            {"s3_region": "eu-west-1"},
            "https://s3.console.aws.amazon.com/s3/object/b?prefix=k/audience=1/x.csv&region=eu-west-1",
        ),
        (
            "http://somebody:secret@minio:9000/",
            "us-east-1",
            {"s3_endpoint": "http://minio:9000/"},
            "http://minio:9000/b/k/audience=1/x.csv",
        ),
    ],
)
def test_an_object_is_where_the_record_says(
    endpoint: str | None, region: str | None, kept: dict[str, str], url: str
) -> None:
    assert storage_of(endpoint, region) == kept
    record = {"bucket": "b", "s3_key": "k/audience=1/x.csv", **kept}

    (link,) = objects_of(Load.read(json.dumps(record)))

    assert (link.label, link.href) == ("b/k/audience=1/x.csv", url)


def test_an_address_is_spelled_so_that_it_is_one() -> None:
    assert s3_object_url(bucket="b", key="a b&c#d?e") == (
        "https://s3.console.aws.amazon.com/s3/object/b?prefix=a%20b%26c%23d%3Fe"
    )


def test_rejects_on_a_worker_lead_nowhere() -> None:
    for where, href in {
        "s3://r/a/b.csv": "https://s3.console.aws.amazon.com/s3/object/r?prefix=a/b.csv",
        "/var/rejects/b.csv": "",
        "javascript://alert/1": "",
    }.items():
        link = rejects_of(Load.read(json.dumps({"rejects_file": where})))
        assert link is not None
        assert (link.label, link.href) == (where, href)
    assert rejects_of(Load()) is None


def test_an_edited_endpoint_does_not_lead_to_a_script() -> None:
    for endpoint in ("javascript:alert(1)//", "data:text/html,x", 7):
        record = {"bucket": "b", "s3_key": "k", "s3_endpoint": endpoint}
        (link,) = objects_of(Load.read(json.dumps(record)))
        assert link.href.startswith("https://s3.console") or link.href == ""
