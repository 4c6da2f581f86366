"""Fanfare's Admin API for audiences, as documented on the vendor's pages. No Airflow in here.

Sources: the vendor's API description (api/openapi/admin-api.json), https://docs.fanfare.io/api/admin-api/audiences,
/api/pagination.md, /api/rate-limiting and /api/errors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

from audience_onboarding.exceptions import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    VendorUnavailableError,
)
from audience_onboarding.http import (
    BearerClient,
    HttpTransport,
    StreamingBody,
    error_for_status,
    vendor_value,
)
from audience_onboarding.http.base_client import Model
from audience_onboarding.http.transport import SAFE_METHODS
from audience_onboarding.platforms.fanfare.connection import VENDOR, FanfareSettings
from audience_onboarding.platforms.fanfare.models import (
    Audience,
    AudienceChanges,
    AudienceCount,
    AudienceDraft,
    AudienceStatus,
    AudienceType,
    Import,
    ImportStarted,
    LoyaltyTier,
    LoyaltyTiers,
    Member,
    MemberContact,
    PageInfo,
    Rule,
    RuleDraft,
    SyncStarted,
    issue_text,
)

PAGE_SIZE = 100
"""Items of a page; the most that the vendor gives."""

STORAGE = "Fanfare's upload storage"

_SECRET_PARAMETERS = frozenset({"x-amz-signature", "x-amz-credential", "x-amz-security-token", "signature"})


class FanfareClient(BearerClient[FanfareSettings]):
    """One organization of Fanfare; may be used by many threads at once."""

    hint = "Check the host of the connection: the API is below /api, on the hand-written pages below /api/v1"
    renewal = (
        "Rotating a secret key makes the old one invalid at once: put the new one (sk_...) into the Password of the "
        "connection (Admin > Connections)"
    )

    _organization_is_right = False

    # --- audiences -----------------------------------------------------------------------------------------

    def list_audiences(self) -> Iterator[Audience]:
        """All audiences, archived ones too, page by page.

        :raises ConfigurationError: the key belongs to another organization than the connection says.
        """
        seen: set[str] = set()
        for audience in self._pages("/audiences", Audience, operation="list_audiences"):
            # No parameter of this list is documented: a page may come twice.
            if audience.id not in seen:
                seen.add(audience.id)
                yield self._ours(audience)

    def first_audiences(self) -> list[Audience]:
        """The first page of the list of audiences, with one request.

        :raises ConfigurationError: the key belongs to another organization than the connection says.
        """
        query = {"first": PAGE_SIZE}
        found = self._list("GET", "/audiences", Audience, operation="list_audiences", query=query)
        return [self._ours(audience) for audience in found]

    def find_audience(self, name: str, audience_type: AudienceType) -> Audience | None:
        """The audience of this name that is not archived, ``None`` if there is none.

        :raises ConfigurationError: there are several, or it is of another type.
        """
        fitting = [item for item in self.list_audiences() if item.name == name and not item.archived]
        found = self._single_match(fitting, name)
        return None if found is None else self.check_type(found, audience_type)

    @staticmethod
    def check_type(audience: Audience, audience_type: AudienceType) -> Audience:
        """The audience, if it is of this type and not archived.

        :raises ConfigurationError: it is not.
        """
        if audience.type is not audience_type or audience.archived:
            raise ConfigurationError(
                what=f"Audience {audience.id} ({audience.name!r}) is "
                + (
                    "archived"
                    if audience.archived
                    else f"{vendor_value(audience.type)}, not {audience_type.value}"
                ),
                where=VENDOR,
                next_step="Give another name in the definition, or the 'id' of an audience that fits",
            )
        return audience

    def get_audience(self, audience_id: str) -> Audience:
        """One audience with its rules and imports.

        :raises NotFoundError: there is none of this id in the key's organization.
        """
        return self._audience("GET", audience_id, operation="get_audience")

    def create_audience(self, draft: AudienceDraft) -> Audience:
        """Create an audience. Nothing at the vendor keeps a second one of the same name from being created."""
        body = draft.to_json()
        if body["type"] == AudienceType.STATIC_LIST.value:
            body["type"] = self.settings.static_list_type
        return self._object(
            "POST",
            "/audiences",
            Audience,
            operation="create_audience",
            json=body,
            subject=f"Audience {draft.name!r}",
        )

    def update_audience(self, audience_id: str, changes: AudienceChanges) -> Audience:
        """Change the given fields of an audience."""
        return self._audience("PUT", audience_id, operation="update_audience", json=changes.to_json())

    def archive_audience(self, audience_id: str) -> Audience:
        """Archive an audience; the vendor's pages say "Delete (archive)"."""
        return self._audience("DELETE", audience_id, operation="archive_audience")

    def count(self, audience_id: str) -> int:
        """How many members an audience has."""
        return self._part("GET", audience_id, "/count", AudienceCount, operation="count_members").count

    def status(self, audience_id: str) -> AudienceStatus:
        """Whether an audience is up to date."""
        return self._part("GET", audience_id, "/status", AudienceStatus, operation="get_status")

    def member_ids(self, audience_id: str) -> Iterator[str]:
        """The consumers of an audience, by id; what else the vendor sends of them is dropped at once."""
        for member in self._members(audience_id, Member):
            yield member.id

    def count_members_like(
        self, audience_id: str, *, emails: Collection[str], phones: Collection[str]
    ) -> tuple[int, int]:
        """How many members have one of these hashes, and how many were looked at.

        Each page is hashed in memory, by the rules of the loads, and dropped. Nobody's data leave this call.

        :param emails: SHA-256 of normalised addresses, lower case.
        :param phones: SHA-256 of international digits without plus, lower case.
        """
        found = looked_at = 0
        for member in self._members(audience_id, MemberContact):
            looked_at += 1
            found += member.is_one_of(emails, phones)
        return found, looked_at

    def _members(self, audience_id: str, model: type[Model]) -> Iterator[Model]:
        path = _path(audience_id, "/members")
        return self._pages(path, model, operation="list_members", subject=_subject(audience_id))

    def list_group(self, group_id: str) -> list[Audience]:
        """The audiences of a group."""
        return self._list(
            "GET",
            f"/audiences/groups/{group_id}",
            Audience,
            operation="list_group",
            subject=f"Group {group_id}",
        )

    def create_loyalty_tiers(
        self, *, group_name: str, tiers: Sequence[LoyaltyTier], attribute: str | None = None
    ) -> LoyaltyTiers:
        """Create a group of audiences, one for each tier.

        :param attribute: ``totalOrderValue``, ``totalOrders`` or ``lifetimeSpend``, as the hand-written pages say.
        """
        body = {"groupName": group_name, "tiers": [tier.to_json() for tier in tiers]}
        if attribute is not None:
            body["attribute"] = attribute
        return self._object(
            "POST",
            "/audiences/loyalty-tiers",
            LoyaltyTiers,
            operation="create_loyalty_tiers",
            json=body,
            subject=f"Group {group_name!r}",
        )

    # --- rules ---------------------------------------------------------------------------------------------

    def list_rules(self, audience_id: str) -> list[Rule]:
        """The rules of a dynamic audience."""
        return self._list(
            "GET", _path(audience_id, "/rules"), Rule, operation="list_rules", subject=_subject(audience_id)
        )

    def add_rule(self, audience_id: str, rule: RuleDraft) -> Rule:
        """Add a rule."""
        return self._part("POST", audience_id, "/rules", Rule, operation="add_rule", json=rule.to_json())

    def replace_rules(self, audience_id: str, rules: Sequence[RuleDraft]) -> list[Rule]:
        """Replace all rules."""
        body = {"rules": [rule.to_json() for rule in rules]}
        return self._list(
            "PUT",
            _path(audience_id, "/rules"),
            Rule,
            operation="replace_rules",
            json=body,
            subject=_subject(audience_id),
        )

    def get_rule(self, audience_id: str, rule_id: str) -> Rule:
        """One rule."""
        return self._rule("GET", audience_id, rule_id, operation="get_rule")

    def update_rule(self, audience_id: str, rule_id: str, rule: RuleDraft) -> Rule:
        """Change a rule."""
        return self._rule("PUT", audience_id, rule_id, operation="update_rule", json=rule.to_json())

    def delete_rule(self, audience_id: str, rule_id: str) -> None:
        """Delete a rule."""
        # No page shows the answer.
        self._call(
            "DELETE",
            _path(audience_id, f"/rules/{rule_id}"),
            operation="delete_rule",
            subject=f"Rule {rule_id}",
            may_be_empty=True,
        )

    # --- imports and syncs ---------------------------------------------------------------------------------

    def start_import(self, audience_id: str) -> ImportStarted:
        """Ask for the address that a list is to be sent to. By itself this changes nothing in the audience."""
        started = self._part("POST", audience_id, "/import", ImportStarted, operation="start_import")
        self._on_secret(started.upload_url)
        for parameter in urlsplit(started.upload_url).query.split("&"):
            name, _, value = parameter.partition("=")
            if value and name.lower() in _SECRET_PARAMETERS:
                # Also as it stands in the address, which the log of a library may quote.
                for secret in {value, unquote(value)}:
                    self._on_secret(secret)
        return started

    def upload(self, upload_url: str, body: bytes) -> None:
        """Send the CSV of an import to the presigned address, without the key.

        :raises VendorUnavailableError: the storage cannot be reached or takes the address no longer; a new import
            gives a new one.
        """
        parts = urlsplit(upload_url)
        if parts.scheme != "https" and not self.settings.base_url.startswith("http://"):
            raise ConfigurationError(
                what="The vendor gave an upload address that is not https",
                where=VENDOR,
                next_step="Nothing was sent; check the host of the connection",
            )
        there = replace(self.settings.transport, base_url=f"{parts.scheme}://{parts.netloc}")
        storage = HttpTransport(there, vendor=STORAGE, observer=self.observer)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        request_label = storage.request_label("PUT", parts.path)
        content = StreamingBody("text/csv", len(body), lambda: iter((body,)))
        response = storage.send("PUT", path, operation="upload", body=content)
        error = error_for_status(response, request_label=request_label, mutating=True)
        if isinstance(error, PermissionDeniedError):
            raise VendorUnavailableError(
                what="The presigned address of the import is not accepted, perhaps no longer",
                where=request_label,
                next_step="The next try asks for a new one",
                status=HTTPStatus.FORBIDDEN,
            )
        if error:
            raise error

    def get_import(self, audience_id: str) -> Import | None:
        """The import of an audience that the vendor shows, ``None`` if there never was one."""
        try:
            return self._part("GET", audience_id, "/import", Import, operation="get_import")
        except NotFoundError:
            return None

    def find_import(self, audience_id: str, import_id: str) -> Import | None:
        """One import of an audience, also if a later one has taken its place in :meth:`get_import`."""
        shown = self.get_import(audience_id)
        if shown is not None and shown.id == import_id:
            return shown
        return next(
            (item for item in self.get_audience(audience_id).imports or () if item.id == import_id), None
        )

    def sync(self, audience_id: str) -> SyncStarted | None:
        """Start the sync of a synced list; ``None`` if one is under way already."""
        try:
            return self._part("POST", audience_id, "/sync", SyncStarted, operation="start_sync")
        except ConflictError:
            return None

    # --- one call ------------------------------------------------------------------------------------------

    def _call(self, method: str, path: str, **call: Any) -> Any:
        if method not in SAFE_METHODS and self.settings.organization and not self._organization_is_right:
            # Once, before anything is changed. Where there is no audience yet, nothing tells whose key it is.
            next(self.list_audiences(), None)
            self._organization_is_right = True
        return super()._call(method, path, **call)

    def _object(self, method: str, path: str, model: type[Model], **call: Any) -> Model:
        answer = self._call(method, path, **call)
        request_label = self._transport.request_label(method, path)
        found = self._parse(model, answer, request_label=request_label, mutating=method != "GET")
        return self._ours(found)

    def _list(self, method: str, path: str, model: type[Model], **call: Any) -> list[Model]:
        answer = self._call(method, path, **call)
        return self._items(answer, model, method, path)

    def _items(self, answer: Any, model: type[Model], method: str, path: str) -> list[Model]:
        request_label = self._transport.request_label(method, path)
        # A bare array on the hand-written pages, "data" in the API description.
        items = answer.get("data") if isinstance(answer, Mapping) else answer
        if not isinstance(items, list):
            raise self._unexpected_response(request_label, "there is no list in it", mutating=method != "GET")
        return [
            self._parse(model, item, request_label=request_label, mutating=method != "GET") for item in items
        ]

    def _pages(self, path: str, model: type[Model], **call: Any) -> Iterator[Model]:
        """All items of a list with cursors.

        The vendor does not say which page is the last: it is empty, has no end cursor, or one that was seen before. A
        short page is no sign: who stopped there and missed an audience would create it a second time.
        """
        after: str | None = None
        seen: set[str] = set()
        while True:
            answer = self._call("GET", path, query={"first": PAGE_SIZE, "after": after}, **call)
            items = self._items(answer, model, "GET", path)
            yield from items
            info = answer.get("pageInfo") if isinstance(answer, Mapping) else None
            request_label = self._transport.request_label("GET", path)
            cursors = self._parse(PageInfo, info or {}, request_label=request_label, mutating=False)
            after = cursors.end_cursor
            if not items or after is None or after in seen:
                return
            seen.add(after)

    def _part(self, method: str, audience_id: str, rest: str, model: type[Model], **call: Any) -> Model:
        """What lies at ``rest`` below the path of an audience."""
        return self._object(method, _path(audience_id, rest), model, subject=_subject(audience_id), **call)

    def _audience(self, method: str, audience_id: str, **call: Any) -> Audience:
        return self._part(
            method,
            audience_id,
            "",
            Audience,
            next_step="Check that it exists in Fanfare, in the organization of the key",
            **call,
        )

    def _rule(self, method: str, audience_id: str, rule_id: str, **call: Any) -> Rule:
        return self._object(
            method, _path(audience_id, f"/rules/{rule_id}"), Rule, subject=f"Rule {rule_id}", **call
        )

    def _ours(self, found: Model) -> Model:
        """``found``, if it belongs to the organization that the connection names.

        :raises ConfigurationError: the key belongs to another one.
        """
        theirs = getattr(found, "organization_id", None)
        if self.settings.organization and theirs and theirs != self.settings.organization:
            raise ConfigurationError(
                what=f"The key belongs to organization {theirs}, the connection says {self.settings.organization}",
                where=VENDOR,
                next_step="Correct the key or the organization of the connection (Admin > Connections)",
            )
        return found

    def _message(self, answer: Any) -> str | None:
        """The vendor's words in any of the shapes that its pages show."""
        if not isinstance(answer, Mapping):
            return None
        words = [
            answer[name]
            for name in ("error", "message")
            if isinstance(answer.get(name), str) and answer[name]
        ]
        problems = answer.get("issues") or answer.get("details")
        for item in problems if isinstance(problems, list) else ():
            said = item.get("message") if isinstance(item, Mapping) and "field" in item else None
            words.append(issue_text({"field": item["field"], "type": said}) if said else issue_text(item))
        return "; ".join(dict.fromkeys(words)) or None


def _path(audience_id: str, rest: str = "") -> str:
    return f"/audiences/{audience_id}{rest}"


def _subject(audience_id: str) -> str:
    return f"Audience {audience_id}"
