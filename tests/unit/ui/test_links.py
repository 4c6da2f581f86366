"""Links to pages of Airflow, and to objects in S3."""

from __future__ import annotations

import pytest

from audience_onboarding.platforms.digital_audience.links import storage_fields
from audience_onboarding.ui.links import AirflowPaths, file_links, rejects_link
from audience_onboarding.ui.stored_records import Load
from audience_onboarding.urls import s3_object_url


def test_pages_are_below_the_path_of_airflow() -> None:
    for base, prefix in (("", ""), ("/airflow", "/airflow"), ("/airflow/", "/airflow")):
        paths = AirflowPaths(base)
        run = "scheduled__2026-11-20T03:00:00+00:00"
        encoded = "scheduled__2026-11-20T03%3A00%3A00%2B00%3A00"
        assert paths.dag("onboard_a.b") == f"{prefix}/dags/onboard_a.b"
        assert paths.dag("d", "backfills") == f"{prefix}/dags/d/backfills"
        task = f"{prefix}/dags/d/runs/{encoded}/tasks/t/required_actions"
        assert paths.task("d", run, "t", "required_actions") == task
        assert paths.asset(7) == f"{prefix}/assets/7"


@pytest.mark.parametrize(
    ("endpoint", "region", "stored", "url"),
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
def test_a_file_links_to_the_storage_of_its_record(
    endpoint: str | None, region: str | None, stored: dict[str, str], url: str
) -> None:
    assert storage_fields(endpoint, region) == stored
    record = {"bucket": "b", "s3_key": "k/audience=1/x.csv", **stored}

    (link,) = file_links(Load.model_validate(record))

    assert (link.label, link.href) == ("b/k/audience=1/x.csv", url)


def test_special_characters_in_a_url_are_encoded() -> None:
    assert s3_object_url(bucket="b", key="a b&c#d?e") == (
        "https://s3.console.aws.amazon.com/s3/object/b?prefix=a%20b%26c%23d%3Fe"
    )


def test_rejects_on_a_worker_have_no_link() -> None:
    for path, href in {
        "s3://r/a/b.csv": "https://s3.console.aws.amazon.com/s3/object/r?prefix=a/b.csv",
        "/var/rejects/b.csv": "",
        "javascript://alert/1": "",
    }.items():
        link = rejects_link(Load.model_validate({"rejects_file": path}))
        assert link is not None
        assert (link.label, link.href) == (path, href)
    assert rejects_link(Load()) is None


def test_an_edited_endpoint_does_not_link_to_a_script() -> None:
    for endpoint in ("javascript:alert(1)//", "data:text/html,x", 7):
        record = {"bucket": "b", "s3_key": "k", "s3_endpoint": endpoint}
        (link,) = file_links(Load.model_validate(record))
        assert link.href.startswith("https://s3.console") or link.href == ""
