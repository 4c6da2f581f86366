"""Operators for Fanfare's Admin API. Each create runs once, see :mod:`audience_onboarding.state.create_once`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.definitions.context import Context
from pydantic import ValidationError

from audience_onboarding.base.links import AudiencePageLink
from audience_onboarding.base.operators import PlatformOperator
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.base.templating import RemoteId
from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.http.base_client import Model
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from audience_onboarding.platforms.fanfare.links import FanfarePortalLink
from audience_onboarding.platforms.fanfare.models import (
    AudienceChanges,
    AudienceDraft,
    AudienceType,
    RuleDraft,
)
from audience_onboarding.platforms.fanfare.triggers import baseline_of
from audience_onboarding.state.remote_ids import parse_str_id
from audience_onboarding.state.store import AUDIENCE_KEY


class FanfareOperator(PlatformOperator[FanfareHook, str]):
    """Base of the vendor's operators, with the arguments ``fanfare_conn_id`` and ``asset``."""

    template_fields: Sequence[str] = ("fanfare_conn_id",)
    operator_extra_links: Collection[BaseOperatorLink] = (FanfarePortalLink(), AudiencePageLink())
    hook_class = FanfareHook
    read_id = staticmethod(parse_str_id)

    def __init__(self, *, fanfare_conn_id: str = FanfareHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fanfare_conn_id = fanfare_conn_id

    def _persist_link(self, audience_id: str) -> str:
        FanfarePortalLink.persist(self, self.hook.client.settings, audience_id=audience_id)
        return audience_id


class FanfareCreateAudienceOperator(FanfareOperator):
    """Create an audience, unless one of its name exists.

    The operator lists the audiences first, which also resolves an earlier ambiguous create.

    :param audience_name: sent as ``name`` (templated).
    :param audience_type: ``STATIC_LIST`` (default), ``DYNAMIC`` or ``SYNCED_LIST``; an audience of the same name and
        another type raises ``ConfigurationError``.
    :param description: optional (templated).
    :param rules: of a dynamic audience, each with ``field``, ``operator`` and ``values``.
    :param sync_source: of a synced list, with ``sync_source`` (for example ``klaviyo:list``) and ``sync_source_id``.
    :param options: further fields of the vendor's page, in its spelling: ``groupId``, ``groupName``, ``groupType``,
        ``iconName``, ``metadata``, ``refreshIntervalSeconds``.
    :param is_dry_run: only log the create (templated).
    :return: the audience's id, ``None`` in a dry run that would create it.

    Source: the vendor's page "Create audience", POST /audiences.
    """

    template_fields: Sequence[str] = ("audience_name", "description", "is_dry_run", "fanfare_conn_id")

    def __init__(
        self,
        *,
        audience_name: str,
        audience_type: AudienceType | str = AudienceType.STATIC_LIST,
        description: str | None = None,
        rules: Sequence[Mapping[str, Any]] | None = None,
        sync_source: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        is_dry_run: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audience_name = audience_name
        self.audience_type = AudienceType(audience_type).value
        self.description = description
        self.rules = rules
        self.sync_source = sync_source
        self.options = options
        self.is_dry_run = is_dry_run

    @fail_on_terminal_error
    def execute(self, context: Context) -> str | None:
        """Return the audience's id; create the audience if it does not exist."""
        client = self.hook.client
        draft = self._draft()

        def find() -> str | None:
            audience = client.find_audience(self.audience_name, AudienceType(self.audience_type))
            return audience.id if audience else None

        creation = self._creation(
            "audience",
            self.audience_name,
            find=find,
            create=lambda: client.create_audience(draft).id,
            sent={"name": self.audience_name, "type": self.audience_type},
        )
        audience_id = self._ensure(context, AUDIENCE_KEY, creation, is_dry_run=self.is_dry_run)
        return None if audience_id is None else self._persist_link(audience_id)

    def _draft(self) -> AudienceDraft:
        fields: dict[str, Any] = {
            **(self.options or {}),
            "name": self.audience_name,
            "type": self.audience_type,
            "description": self.description,
            "rules": self.rules,
            "primarySyncSource": self.sync_source,
        }
        draft = checked(AudienceDraft, {name: value for name, value in fields.items() if value is not None})
        if bool(self.sync_source) != (draft.type == AudienceType.SYNCED_LIST.value):
            raise ConfigurationError(
                what="Invalid audience: only a synced list has a 'sync_source', and it needs one",
                next_step="Set 'sync_source' and the audience_type SYNCED_LIST, or neither",
            )
        if self.rules and draft.type != AudienceType.DYNAMIC.value:
            raise ConfigurationError(
                what="Invalid audience: only a dynamic audience has 'rules'",
                next_step="Remove 'rules', or set the audience_type DYNAMIC",
            )
        return draft


class _FanfareAudienceOperator(FanfareOperator):
    """Base of the operators for an existing audience.

    :param audience_id: the audience (templated); default the id stored with ``asset``.
    """

    template_fields: Sequence[str] = ("audience_id", "fanfare_conn_id")

    def __init__(self, *, audience_id: RemoteId | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id

    def _audience(self, context: Context) -> str:
        return self._persist_link(self._audience_id(context, self.audience_id))


class FanfareUpdateAudienceOperator(_FanfareAudienceOperator):
    """Change fields of an audience; other fields are unchanged. Idempotent.

    :param audience_id: the audience (templated); default the id stored with ``asset``.
    :param changes: fields in the vendor's spelling (templated): ``name``, ``description``, ``groupId``, ``groupName``,
        ``groupType``, ``iconName``, ``metadata``, ``refreshIntervalSeconds``, ``type``.

    Source: the vendor's API description, PUT /audiences/{audienceId}.
    """

    template_fields: Sequence[str] = ("audience_id", "changes", "fanfare_conn_id")

    def __init__(self, *, changes: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.changes = changes

    @fail_on_terminal_error
    def execute(self, context: Context) -> None:
        """Change the fields."""
        self.hook.client.update_audience(self._audience(context), checked(AudienceChanges, self.changes))


class FanfareReplaceRulesOperator(_FanfareAudienceOperator):
    """Replace all rules of a dynamic audience. Idempotent.

    :param audience_id: the audience (templated); default the id stored with ``asset``.
    :param rules: each with ``field``, ``operator`` and ``values`` (templated).

    Source: the vendor's API description, PUT /audiences/{audienceId}/rules.
    """

    template_fields: Sequence[str] = ("audience_id", "rules", "fanfare_conn_id")

    def __init__(self, *, rules: Sequence[Mapping[str, Any]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rules = rules

    @fail_on_terminal_error
    def execute(self, context: Context) -> None:
        """Replace the rules."""
        rules = [checked(RuleDraft, rule) for rule in self.rules]
        self.hook.client.replace_rules(self._audience(context), rules)


class FanfareSyncAudienceOperator(_FanfareAudienceOperator):
    """Start the sync of a synced list, unless one is running.

    :param audience_id: the audience (templated); default the id stored with ``asset``.
    :return: the audience, and the baseline for :class:`.sensors.FanfareAudienceStatusSensor`.

    Source: https://docs.fanfare.io/api/admin-api/audiences, POST /audiences/{audienceId}/sync.
    """

    @fail_on_terminal_error
    def execute(self, context: Context) -> dict[str, Any]:
        """Start the sync."""
        client = self.hook.client
        audience_id = self._audience(context)
        baseline = baseline_of(client.status(audience_id))
        if client.sync(audience_id) is None:
            self.log.info("A sync of audience %s is already running", audience_id)
        return {"audience_id": audience_id, "baseline": baseline}


class FanfareArchiveAudienceOperator(_FanfareAudienceOperator):
    """Archive an audience; the vendor calls it "Delete (archive)".

    :param audience_id: the audience (templated); required, as a stored id is never archived.

    Source: the vendor's API description, DELETE /audiences/{audienceId}.
    """

    def __init__(self, *, audience_id: RemoteId, **kwargs: Any) -> None:
        super().__init__(audience_id=audience_id, **kwargs)

    @fail_on_terminal_error
    def execute(self, context: Context) -> None:  # noqa: ARG002
        """Archive it."""
        self.hook.client.archive_audience(parse_str_id(self.audience_id))
        self.log.info("Audience %s is archived", self.audience_id)


class FanfareListAudiencesOperator(FanfareOperator):
    """List the audiences of the organization.

    :param with_archived: include archived audiences.
    :return: the audiences as JSON objects, without rules and imports, names in Python's spelling.

    Source: the vendor's API description, GET /audiences.
    """

    def __init__(self, *, with_archived: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.with_archived = with_archived

    @fail_on_terminal_error
    def execute(self, context: Context) -> list[dict[str, Any]]:  # noqa: ARG002
        """List the audiences."""
        return [
            audience.model_dump(mode="json", exclude={"rules", "imports"})
            for audience in self.hook.client.list_audiences()
            if self.with_archived or not audience.archived
        ]


def checked(model: type[Model], value: Any) -> Model:
    """Return ``value`` as a model of the vendor's fields.

    :raises ConfigurationError: the value is invalid; the message names the fields.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'the whole'}: {item['msg']}"
            for item in error.errors()
        )
        raise ConfigurationError(
            what="Invalid fields for Fanfare",
            why=reasons,
            next_step="See the vendor's page about audiences",
        ) from None
