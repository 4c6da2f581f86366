"""Base class of a platform's operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.configuration import conf
from airflow.sdk.definitions.context import Context

from audience_onboarding.base.hooks import PlatformHook
from audience_onboarding.base.metrics import AMBIGUOUS_CREATES, incr
from audience_onboarding.base.retry_policy import OnboardingRetryPolicy
from audience_onboarding.base.templating import RemoteId, as_bool
from audience_onboarding.exceptions import AmbiguousCreateError, ConfigurationError
from audience_onboarding.state.create_once import (
    CreateRequest,
    check_not_lost,
    check_not_retired,
    create_once,
    stored_id,
)
from audience_onboarding.state.reconcile import resolution_hint
from audience_onboarding.state.remote_ids import is_missing
from audience_onboarding.state.store import AUDIENCE_KEY, StateStore, audience_key_of, get_state_store

Hook = TypeVar("Hook", bound=PlatformHook[Any])
Id = TypeVar("Id", int, str)

RECENT_EVENTS = 20
"""Number of events of an asset among which its last published load is searched; users may emit others."""


@dataclass(frozen=True)
class EnsuredAudience:
    """Result of the tasks that ensure an audience exists.

    :param audience_id: its id, or the source of the id: the output of a task, or a template. ``None`` if the upload
        creates the audience, and no task can search for it.
    :param by: tasks that must succeed first, unless ``audience_id`` is the output of one.
    """

    audience_id: RemoteId | None
    by: tuple[BaseOperator, ...] = ()


class PlatformOperator(BaseOperator, Generic[Hook, Id]):
    """Base of all operators for a platform. Each vendor's class adds the argument with its connection id.

    :param asset: the asset whose state store holds ids. Without one, the task's own store holds them: it outlives
        retries and clears of a run, but not the run.
    :param audience_key: of the definition that the task belongs to, for the DAG ``resolve_ambiguous_create``; default:
        that of the audience of ``asset``.
    """

    hook_class: type[Hook]
    read_id: Callable[[Any], Id]
    """Parses an id as this platform spells it."""

    def __init__(self, *, asset: Asset | None = None, audience_key: str | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("retry_policy", OnboardingRetryPolicy())
        super().__init__(**kwargs)
        self.asset = asset
        self.audience_key = audience_key
        if asset is not None and asset not in self.inlets:
            # Airflow grants access to the state store of an inlet. As an outlet, each run would be an event of it.
            self.inlets = [*self.inlets, asset]

    @cached_property
    def hook(self) -> Hook:
        """The hook, for the connection id in the vendor's argument ``<conn_type>_conn_id``."""
        return self.hook_class(getattr(self, self.hook_class.conn_name_attr))

    @property
    def _account(self) -> str:
        account: str = self.hook.client.settings.account
        return account

    def _metric_tags(self) -> dict[str, str]:
        """Return platform and audience as metrics and log lines name them."""
        key = self.audience_key or audience_key_of(self.asset) or getattr(self, "audience_id", None)
        return {"platform": self.hook.conn_type, "audience": str(key or "none")}

    def _state_store(self, context: Context) -> StateStore:
        return get_state_store(context, self.asset)

    def stored_id(self, context: Context, key: str) -> Id | None:
        """Return the id under a key of the state store, ``None`` if there is none for this account."""
        return stored_id(self._state_store(context), key, account=self._account, read=self.read_id)

    def check_not_lost(self, context: Context) -> None:
        """Check that the state of the audience of ``asset`` is not lost, before its first object is created.

        :raises StateLostError: see :func:`.create_once.check_not_lost`.
        """
        if self.asset is not None:
            events = context["inlet_events"][self.asset].ascending(ascending=False).limit(RECENT_EVENTS)
            check_not_lost(self._state_store(context), events)

    def _ensure(
        self, context: Context, key: str, creation: CreateRequest[Id], *, is_dry_run: bool | str = False
    ) -> Id | None:
        """Return the id of an object, created if it does not exist; ``None`` in a dry run that would create it."""
        if as_bool(is_dry_run):
            existing_id = self.stored_id(context, key) or (creation.find() if creation.find else None)
            would = "would be created" if existing_id is None else f"exists with id {existing_id}"
            self.log.info("Dry run: %s %s", creation.subject, would)
            return existing_id
        try:
            return create_once(
                self._state_store(context),
                key,
                creation,
                read=self.read_id,
                run_id=str(context["run_id"]),
                store_hint=self.state_store_hint(),
                resolution_hint=self._resolution_hint(key),
            )
        except AmbiguousCreateError:
            incr(AMBIGUOUS_CREATES, **self._metric_tags(), kind=creation.kind)
            raise

    def _creation(
        self,
        kind: str,
        name: str,
        *,
        create: Callable[[], Id],
        sent: Mapping[str, str | int],
        find: Callable[[], Id | None] | None = None,
    ) -> CreateRequest[Id]:
        """Return an object to create once on this account, see :class:`.create_once.Creation`."""
        return CreateRequest(kind=kind, name=name, account=self._account, create=create, find=find, sent=sent)

    def state_store_hint(self) -> str:
        """Return where a user finds the state store, for messages."""
        if self.asset is not None:
            return f"the state store of asset {self.asset.name!r} (REST: /api/v2/assets/<asset>/state-store/<key>)"
        return "this task's state store (REST: .../taskInstances/<task>/state-store/<key>)"

    def _resolution_hint(self, key: str) -> str:
        audience_key = self.audience_key or audience_key_of(self.asset)
        if self.asset is None or audience_key is None:
            return ""
        return resolution_hint(audience_key, key, base_url=conf.get("api", "base_url", fallback="") or "")

    def recreate_hint(self) -> str:
        """Return how to replace an audience that is gone; a stored id goes before any name."""
        return f"delete the key {AUDIENCE_KEY!r} in {self.state_store_hint()}: the next run creates the audience again"

    def _audience_id(self, context: Context, given: Any) -> Id:
        """Return ``given``, or the id in the state store of the audience's asset."""
        if not is_missing(given):
            if self.asset is not None:
                check_not_retired(self._state_store(context))
            return self.read_id(given)
        stored_id = None if self.asset is None else self.stored_id(context, AUDIENCE_KEY)
        if stored_id is None:
            raise ConfigurationError(
                what="There is no audience yet",
                where="" if self.asset is None else self.asset.name,
                next_step="Run its onboarding DAG first, or give the audience's id",
            )
        return stored_id
