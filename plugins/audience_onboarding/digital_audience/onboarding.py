"""The operator that brings a CRM extract into an audience's folder in S3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from airflow.sdk.definitions.context import Context

from audience_onboarding.base.connections import s3_client
from audience_onboarding.base.onboarding import OnboardCrmOperator, Sending
from audience_onboarding.base.source_options import SourceOptions
from audience_onboarding.crm.profiles import DIGITAL_AUDIENCE_S3
from audience_onboarding.digital_audience.definition import VENDOR_PREFIX, is_read_by_the_vendor
from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.digital_audience.links import DigitalAudiencePortalLink, S3ObjectLink
from audience_onboarding.digital_audience.models import Audience, UpdateMode
from audience_onboarding.digital_audience.operators import DigitalAudienceOperator
from audience_onboarding.digital_audience.readiness import Baseline
from audience_onboarding.errors import ConfigurationError

BASELINE_PREFIX = "baseline-"
"""The baseline of an upload travels in the object's own metadata: whoever finds the object, finds it too."""


class DigitalAudienceOnboardCrmToS3Operator(
    DigitalAudienceOperator, OnboardCrmOperator[DigitalAudienceHook, int]
):
    """Read a CRM extract, hash it, and put it into the audience's folder in S3, once.

    The key is ``onboard/audience={id}/{mode}/{YYYYMMDD_HHmmss}.csv`` with the load date at midnight UTC, so that the
    same load always has the same key. The object is written with ``If-None-Match: *`` and carries the identity of its
    content: the same content again is a success with nothing sent; other content is an ``UploadConflictError``
    unless ``supersede`` is set.

    Arguments beside those of :class:`..base.onboarding.OnboardCrmOperator`:

    :param mode: ``opt-in``, ``opt-out`` or ``replace`` (templated).
    :param bucket: default the one of the AWS connection (``service_config.s3.bucket_name``).
    :param aws_conn_id: a connection of type ``aws`` for the vendor's bucket (templated); also for the source, where
        ``source`` names no other.
    :param allow_unconditional_writes: for S3 storages that lack conditional writes: look first, then write.
    :param digital_audience_conn_id: a connection of type ``digital_audience`` (templated).
    :return: key, counts, identity of the content, and the baseline that the sensor wants.

    Source: the vendor's pages "Updating audiences via S3" and "Prepare your CSV file for data updates".
    """

    template_fields: Sequence[str] = (
        *OnboardCrmOperator.template_fields,
        "bucket",
        "aws_conn_id",
        "digital_audience_conn_id",
    )
    operator_extra_links = (DigitalAudiencePortalLink(), S3ObjectLink())
    modes = tuple(mode.value for mode in UpdateMode)
    profile = DIGITAL_AUDIENCE_S3

    def __init__(
        self,
        *,
        bucket: str | None = None,
        aws_conn_id: str = "audience_s3",
        allow_unconditional_writes: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bucket = bucket
        self.aws_conn_id = aws_conn_id
        self.allow_unconditional_writes = allow_unconditional_writes

    def check(self) -> None:
        """The bucket has to be known."""
        self._bucket()

    def target(self, context: Context) -> Audience:
        """Load the audience: what it looks like before the upload is the sensor's baseline."""
        client = self.hook.client
        audience = client.load_audience(self._audience_id(context, self.audience_id))
        DigitalAudiencePortalLink.show(self, client.settings, audience_id=audience.id)
        return audience

    def send(self, context: Context, target: Any, sending: Sending) -> dict[str, Any]:
        """Put the file into the bucket, unless it is there."""
        from audience_onboarding.storage.s3_upload import publish_object

        audience: Audience = target
        load = sending.load
        bucket, key = (
            self._bucket(),
            object_key(
                audience.id, sending.mode, sending.load_date, is_gzip=self.profile.compression == "gzip"
            ),
        )
        client = s3_client(self.aws_conn_id)
        baseline = Baseline.of(audience)
        ti = context["ti"]
        published = publish_object(
            client,
            bucket=bucket,
            key=key,
            chunks=load.chunks,
            content_id=load.content_id,
            size=load.size,
            metadata={
                "load-date": sending.load_date.isoformat(),
                "dag-id": ti.dag_id,
                "run-id": ti.run_id,
                "rows": str(load.report.rows_sent),
                **{BASELINE_PREFIX + _dashed(name): value for name, value in baseline.to_dict().items()},
            },
            supersede=sending.supersede,
            allow_unconditional=self.allow_unconditional_writes,
        )
        S3ObjectLink.show(
            self,
            bucket=bucket,
            key=key,
            region=client.meta.region_name,
            endpoint=client.meta.endpoint_url,
        )
        if published.already_there:
            self.log.info("s3://%s/%s already has this content: nothing is sent", bucket, key)
            baseline = _baseline_in(published.metadata)
        else:
            self.log.info("Uploaded %s rows to s3://%s/%s", load.report.rows_sent, bucket, key)
        return {
            "audience_id": audience.id,
            "bucket": bucket,
            "s3_key": key,
            "uploaded": not published.already_there,
            "baseline": baseline.to_dict(),
        }

    def _bucket(self) -> str:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        bucket = self.bucket or S3Hook(aws_conn_id=self.aws_conn_id).service_config.get("bucket_name")
        if not bucket:
            raise ConfigurationError(
                what="It is not known which bucket to upload to",
                where=f"AWS connection {self.aws_conn_id!r}",
                next_step="Name it in the definition (upload.bucket), or in the extra of the connection as "
                '{"service_config": {"s3": {"bucket_name": "..."}}}',
            )
        return str(bucket)

    def is_read_by_the_vendor(self, url: str) -> bool:
        """Whether a file at ``url`` would lie in the folder of the bucket that the vendor scans."""
        return is_read_by_the_vendor(url, bucket=self._bucket())

    def _source_connection(self, options: SourceOptions) -> str:
        return options.aws_conn_id or self.aws_conn_id


def object_key(audience_id: int, mode: str, load_date: date, *, is_gzip: bool = False) -> str:
    """The key of a load, as the vendor's page "Updating audiences via S3" wants it.

    The id is written as the API returns it. The page's example pads it with zeros (``00001``), but no rule says so.
    """
    end = ".csv.gz" if is_gzip else ".csv"
    return f"{VENDOR_PREFIX}audience={audience_id}/{mode}/{load_date:%Y%m%d}_000000{end}"


def _baseline_in(metadata: Mapping[str, str]) -> Baseline:
    return Baseline.from_dict(
        {name: metadata.get(BASELINE_PREFIX + _dashed(name)) for name in Baseline.__dataclass_fields__}
    )


def _dashed(name: str) -> str:
    return name.replace("_", "-")
