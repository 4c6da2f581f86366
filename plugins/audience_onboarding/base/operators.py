"""The base of a platform's operators."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.configuration import conf
from airflow.sdk.definitions.context import Context

from audience_onboarding.base.hooks import PlatformHook
from audience_onboarding.base.metrics import AMBIGUOUS_CREATES, count
from audience_onboarding.base.retry_policy import OnboardingRetryPolicy
from audience_onboarding.base.templating import as_bool
from audience_onboarding.exceptions import AmbiguousCreateError, ConfigurationError
from audience_onboarding.state.create_once import Creation, check_not_retired, ensure_id, remembered_id
from audience_onboarding.state.reconcile import how_to_settle
from audience_onboarding.state.remote_ids import is_missing
from audience_onboarding.state.store import AUDIENCE_KEY, Memory, audience_key_of, memory_of

Hook = TypeVar("Hook", bound=PlatformHook[Any])
Id = TypeVar("Id", int, str)


class PlatformOperator(BaseOperator, Generic[Hook, Id]):
    """What all operators for a platform share.

    :param asset: the asset whose state store remembers ids; without one, the task's own store does, which
        outlives retries and clears of one run, but not the run.
    :param audience_key: of the definition that the task works for, for the DAG
        ``resolve_ambiguous_create``; by default that of the audience whose ``asset`` it is.
    """

    read_id: Callable[[Any], Id]
    """Reads an id as this platform spells them."""

    def __init__(self, *, asset: Asset | None = None, audience_key: str | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("retry_policy", OnboardingRetryPolicy())
        super().__init__(**kwargs)
        self.asset = asset
        self.audience_key = audience_key
        if asset is not None and asset not in self.inlets:
            # An inlet, not an outlet: it may be remembered things about, but this is no event of it.
            self.inlets = [*self.inlets, asset]

    @property
    @abstractmethod
    def hook(self) -> Hook:
        """The connection to the vendor."""

    @property
    def _account(self) -> str:
        account: str = self.hook.client.settings.account
        return account

    def _whose(self) -> dict[str, str]:
        """Platform and audience, as metrics and log lines call them."""
        key = self.audience_key or audience_key_of(self.asset) or getattr(self, "audience_id", None)
        return {"platform": self.hook.conn_type, "audience": str(key or "none")}

    def _memory(self, context: Context) -> Memory:
        return memory_of(context, self.asset)

    def _remembered(self, context: Context, key: str) -> Id | None:
        return remembered_id(self._memory(context), key, account=self._account, read=self.read_id)

    def _ensure(
        self, context: Context, key: str, creation: Creation[Id], *, is_dry_run: bool | str = False
    ) -> Id | None:
        """The id of something, created if it is not there yet; ``None`` in a dry run that would create it."""
        if as_bool(is_dry_run):
            known = self._remembered(context, key) or (creation.find() if creation.find else None)
            would = "would be created" if known is None else f"is there with id {known}"
            self.log.info("Dry run: %s %s", creation.subject, would)
            return known
        try:
            return ensure_id(
                self._memory(context),
                key,
                creation,
                read=self.read_id,
                run_id=str(context["run_id"]),
                settle_hint=self._settle_hint(),
                settle_by=self._settle_by(key),
            )
        except AmbiguousCreateError:
            count(AMBIGUOUS_CREATES, **self._whose(), kind=creation.kind)
            raise

    def _creation(
        self,
        kind: str,
        name: str,
        *,
        create: Callable[[], Id],
        sent: Mapping[str, str | int],
        find: Callable[[], Id | None] | None = None,
    ) -> Creation[Id]:
        """Something to be created once on this account, see :class:`.ensure.Creation`."""
        return Creation(kind=kind, name=name, account=self._account, create=create, find=find, sent=sent)

    def _settle_hint(self) -> str:
        if self.asset is not None:
            return f"the state store of asset {self.asset.name!r} (REST: /api/v2/assets/<asset>/state-store/<key>)"
        return "this task's state store (REST: .../taskInstances/<task>/state-store/<key>)"

    def _settle_by(self, key: str) -> str:
        audience_key = self.audience_key or audience_key_of(self.asset)
        if self.asset is None or audience_key is None:
            return ""
        return how_to_settle(audience_key, key, base_url=conf.get("api", "base_url", fallback="") or "")

    def _how_to_start_anew(self) -> str:
        """What to do where the remembered audience is gone; the remembered id goes before any name."""
        return f"delete the key {AUDIENCE_KEY!r} in {self._settle_hint()}: then it is created anew"

    def _audience_id(self, context: Context, given: Any) -> Id:
        """``given``, or the id that the audience's asset remembers."""
        if not is_missing(given):
            if self.asset is not None:
                check_not_retired(self._memory(context))
            return self.read_id(given)
        known = None if self.asset is None else self._remembered(context, AUDIENCE_KEY)
        if known is None:
            raise ConfigurationError(
                what="There is no audience yet",
                where="" if self.asset is None else self.asset.name,
                next_step="Run its onboarding DAG first, or give the audience's id",
            )
        return known
