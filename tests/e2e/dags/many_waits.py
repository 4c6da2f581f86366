"""A DAG of the tests: one deferred wait per audience that the run names."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from audience_onboarding.platforms.digital_audience import DigitalAudienceAudienceStateSensor

with DAG(dag_id="many_waits", schedule=None, params={"audience_ids": Param([], type="array")}) as dag:

    @task
    def audiences(params: dict[str, list[int]] | None = None) -> list[int]:
        """The audiences to wait for."""
        return (params or {})["audience_ids"]

    DigitalAudienceAudienceStateSensor.partial(
        task_id="wait",
        digital_audience_conn_id="digital_audience_quiet",
        poke_interval=5,
        timeout=600,
        pool="many_waits",
    ).expand(audience_id=audiences())
