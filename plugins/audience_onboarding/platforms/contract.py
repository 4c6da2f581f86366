"""Contract between the shared code and a platform.

The package of a vendor has one :class:`Platform` named ``PLATFORM``; shared code gets it from
:func:`.platform_registry.get_platform`. Its properties import a module on first use, so parsing a DAG loads only the
modules that the DAG needs. mypy holds each module against its protocol here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.sdk import Asset

    from audience_onboarding.base.erasure import ErasureDeferral, ErasureJob, ErasureResult
    from audience_onboarding.base.operators import EnsuredAudience
    from audience_onboarding.base.retirement import AudienceInventory
    from audience_onboarding.base.sensors import PlatformSensor
    from audience_onboarding.base.upload_operator import OnboardCrmOperator
    from audience_onboarding.definitions import AudienceDefinition
    from audience_onboarding.state.drift import Difference
    from audience_onboarding.state.reconcile import PendingCreate
    from audience_onboarding.state.store import StateStore

D = TypeVar("D", bound="AudienceDefinition")
D_contra = TypeVar("D_contra", bound="AudienceDefinition", contravariant=True)


class Tasks(Protocol[D_contra]):
    """Module ``tasks``: the tasks of the onboarding DAG that differ between platforms."""

    def ensure_audience(self, definition: D_contra, asset: Asset) -> EnsuredAudience:
        """Build the tasks that find or create the audience."""

    def upload(self, definition: D_contra, **common: Any) -> OnboardCrmOperator[Any, Any]:
        """Build the task that prepares and uploads a load.

        :param common: the arguments that all platforms share.
        """

    def wait_for_confirmation(self, definition: D_contra, **common: Any) -> PlatformSensor[Any]:
        """Build the task that waits until the vendor has processed the upload.

        :param common: the arguments that all platforms share, among them the output of the upload task.
        """


class Reconciliation(Protocol[D_contra]):
    """Module ``reconcile``: comparison of the vendor with the definitions and with unfinished creates."""

    def pending_creates(self, definition: D_contra, asset: Asset) -> list[PendingCreate]:
        """Return the objects of an audience whose creation can be ambiguous, each with its look-ups.

        :param asset: the audience's.
        """

    def differences(
        self, definition: D_contra, asset: Asset, store: StateStore, now: datetime
    ) -> list[Difference]:
        """Compare the audience at the vendor with its definition; read only. No id yet: no difference.

        :param asset: the audience's.
        :param store: stored state of the audience.
        :param now: time of the run.
        """


class Erasure(Protocol[D_contra]):
    """Module ``erasure``: removal of one person's hashes from an audience."""

    def find_audience_id(self, definition: D_contra, store: StateStore) -> int | str | None:
        """Return the audience's id at the vendor, or ``None`` before its creation.

        :raises AudienceRetiredError: it was retired.
        """

    def start(self, job: ErasureJob) -> ErasureResult | ErasureDeferral:
        """Start an erasure, or find the work of an earlier try; safe to call again."""

    def resume(self, job: ErasureJob, after: str, event: dict[str, Any]) -> ErasureResult | ErasureDeferral:
        """Resume an erasure after a wait.

        :param after: name of the wait, as :class:`.base.erasure.ErasureDeferral` gave it.
        :param event: payload of its trigger.
        """


class Retirement(Protocol[D_contra]):
    """Module ``retirement``: deletion of an audience at the vendor."""

    def inspect(self, definition: D_contra, store: StateStore) -> AudienceInventory:
        """Return the audience as it is at the vendor; read only.

        :raises NotFoundError: the vendor does not know the id that the definition gives.
        """

    def delete(
        self, definition: D_contra, store: StateStore, progress: StateStore, approved: AudienceInventory
    ) -> str:
        """Delete exactly the approved objects; safe to call again after any failure.

        :param progress: store of this task, for a second try.
        :return: a sentence about the result.
        :raises StaleApprovalError: the audience differs from the approved one; nothing more was deleted.
        """

    def state_keys(self, definition: D_contra, store: StateStore) -> list[str]:
        """Return the keys of the audience's stored state that are this platform's own."""


class Platform(ABC, Generic[D]):
    """All that shared code asks of a vendor.

    :cvar docs_url: page where the vendor describes audiences and uploads.
    :cvar record_fields: fields of an upload's result that the load record keeps, beside the shared ones.
    """

    docs_url: ClassVar[str]
    record_fields: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def definition(self) -> type[D]:
        """Model of the platform's audience definitions."""

    @abstractmethod
    def connection_type(self) -> dict[str, Any]:
        """Return the connection type and its form, as Airflow's provider discovery reads them."""

    @property
    @abstractmethod
    def tasks(self) -> Tasks[D]:
        """Tasks of the onboarding DAG."""

    @property
    @abstractmethod
    def reconciliation(self) -> Reconciliation[D]:
        """Drift and ambiguous creates."""

    @property
    @abstractmethod
    def erasure(self) -> Erasure[D]:
        """Erasure of a person."""

    @property
    @abstractmethod
    def retirement(self) -> Retirement[D]:
        """Deletion of an audience."""

    def match_rates(self, confirmation: Mapping[str, Any]) -> dict[str, float | None]:  # noqa: ARG002 - most report none
        """Return the match rates of a confirmed load by identifier; ``None`` if the vendor did not report one.

        :param confirmation: result of the task ``wait_for_confirmation``.
        """
        return {}
