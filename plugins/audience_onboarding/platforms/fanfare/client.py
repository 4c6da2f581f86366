"""Client of Fanfare's Admin API for audiences, as documented on the vendor's pages. No Airflow in here.

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
"""Items per page; the vendor's maximum."""

STORAGE = "Fanfare's upload storage"

_SECRET_PARAMETERS = frozenset({"x-amz-signature", "x-amz-credential", "x-amz-security-token", "signature"})


class FanfareClient(BearerClient[FanfareSettings]):
    """Client of one organization; safe for many threads."""

    hint = "Check the host of the connection: the API is below /api, or /api/v1 on the hand-written pages"
    renewal = (
        "Rotating a secret key makes the old one invalid at once: set the new one (sk_...) as Password of the "
        "connection (Admin > Connections)"
    )

    _organization_checked = False

    # --- audiences -----------------------------------------------------------------------------------------

    def list_audiences(self) -> Iterator[Audience]:
        """Yield all audiences, including archived ones.

        :raises ConfigurationError: the key belongs to another organization than that of the connection.
        """
        seen: set[str] = set()
        for audience in self._pages("/audiences", Audience, operation="list_audiences"):
            # No parameter of this list is documented: a page may be returned twice.
            if audience.id not in seen:
                seen.add(audience.id)
                yield self._check_organization(audience)

    def first_audiences(self) -> list[Audience]:
        """Return the first page of the list of audiences, with one request.

        :raises ConfigurationError: the key belongs to another organization than that of the connection.
        """
        query = {"first": PAGE_SIZE}
        audiences = self._list("GET", "/audiences", Audience, operation="list_audiences", query=query)
        return [self._check_organization(audience) for audience in audiences]

    def find_audience(self, name: str, audience_type: AudienceType) -> Audience | None:
        """Return the audience of this name that is not archived, ``None`` if there is none.

        :raises ConfigurationError: several audiences have the name, or it has another type.
        """
        matches = [item for item in self.list_audiences() if item.name == name and not item.archived]
        audience = self._single_match(matches, name)
        return None if audience is None else self.check_type(audience, audience_type)

    @staticmethod
    def check_type(audience: Audience, audience_type: AudienceType) -> Audience:
        """Return the audience, if it has this type and is not archived.

        :raises ConfigurationError: otherwise.
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
                next_step="Set another name in the definition, or the 'id' of a suitable audience",
            )
        return audience

    def get_audience(self, audience_id: str) -> Audience:
        """Return an audience with its rules and imports.

        :raises NotFoundError: unknown id in the key's organization.
        """
        return self._audience("GET", audience_id, operation="get_audience")

    def create_audience(self, draft: AudienceDraft) -> Audience:
        """Create an audience. The vendor does not prevent a second one of the same name."""
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
        """Change the fields of an audience that are set."""
        return self._audience("PUT", audience_id, operation="update_audience", json=changes.to_json())

    def archive_audience(self, audience_id: str) -> Audience:
        """Archive an audience ("Delete (archive)" on the vendor's pages)."""
        return self._audience("DELETE", audience_id, operation="archive_audience")

    def count(self, audience_id: str) -> int:
        """Return the number of members of an audience."""
        return self._part("GET", audience_id, "/count", AudienceCount, operation="count_members").count

    def status(self, audience_id: str) -> AudienceStatus:
        """Return whether an audience is up to date."""
        return self._part("GET", audience_id, "/status", AudienceStatus, operation="get_status")

    def member_ids(self, audience_id: str) -> Iterator[str]:
        """Yield the ids of the consumers of an audience; all other data of them is dropped."""
        for member in self._members(audience_id, Member):
            yield member.id

    def count_members_like(
        self, audience_id: str, *, emails: Collection[str], phones: Collection[str]
    ) -> tuple[int, int]:
        """Return how many members have one of these hashes, and the number of members.

        Each page is hashed in memory by the rules of the loads, and dropped. No personal data leave this call.

        :param emails: SHA-256 of normalized addresses, lower case.
        :param phones: SHA-256 of international digits without plus, lower case.
        """
        matched = total = 0
        for member in self._members(audience_id, MemberContact):
            total += 1
            matched += member.is_one_of(emails, phones)
        return matched, total

    def _members(self, audience_id: str, model: type[Model]) -> Iterator[Model]:
        path = _path(audience_id, "/members")
        return self._pages(path, model, operation="list_members", subject=_subject(audience_id))

    def list_group(self, group_id: str) -> list[Audience]:
        """Return the audiences of a group."""
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
        """Create a group with one audience per tier.

        :param attribute: ``totalOrderValue``, ``totalOrders`` or ``lifetimeSpend`` (hand-written pages).
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
        """Return the rules of a dynamic audience."""
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
        """Return a rule."""
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
        """Start an import and return its upload address. The audience does not change until a list is uploaded."""
        started = self._part("POST", audience_id, "/import", ImportStarted, operation="start_import")
        self._on_secret(started.upload_url)
        for parameter in urlsplit(started.upload_url).query.split("&"):
            name, _, value = parameter.partition("=")
            if value and name.lower() in _SECRET_PARAMETERS:
                # Also in its encoded form: the log of a library may quote the address.
                for secret in {value, unquote(value)}:
                    self._on_secret(secret)
        return started

    def upload(self, upload_url: str, body: bytes) -> None:
        """Upload the CSV of an import to the presigned address, without the key.

        :raises VendorUnavailableError: the storage is not reachable or the address has expired; a new import gets a new
            address.
        """
        parts = urlsplit(upload_url)
        if parts.scheme != "https" and not self.settings.base_url.startswith("http://"):
            raise ConfigurationError(
                what="The upload address of the vendor is not https",
                where=VENDOR,
                next_step="Nothing was sent. Check the host of the connection",
            )
        settings = replace(self.settings.transport, base_url=f"{parts.scheme}://{parts.netloc}")
        storage = HttpTransport(settings, vendor=STORAGE, observer=self.observer)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        request_label = storage.request_label("PUT", parts.path)
        content = StreamingBody("text/csv", len(body), lambda: iter((body,)))
        response = storage.send("PUT", path, operation="upload", body=content)
        error = error_for_status(response, request_label=request_label, mutating=True)
        if isinstance(error, PermissionDeniedError):
            raise VendorUnavailableError(
                what="Presigned address of the import not accepted",
                where=request_label,
                why="it may have expired",
                next_step="Airflow retries automatically with a new address",
                status=HTTPStatus.FORBIDDEN,
            )
        if error:
            raise error

    def get_import(self, audience_id: str) -> Import | None:
        """Return the latest import of an audience, ``None`` if there was none (HTTP 404)."""
        try:
            return self._part("GET", audience_id, "/import", Import, operation="get_import")
        except NotFoundError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    def find_import(self, audience_id: str, import_id: str) -> Import | None:
        """Return an import of an audience, even if :meth:`get_import` returns a later one."""
        latest = self.get_import(audience_id)
        if latest is not None and latest.id == import_id:
            return latest
        return next(
            (item for item in self.get_audience(audience_id).imports or () if item.id == import_id), None
        )

    def sync(self, audience_id: str) -> SyncStarted | None:
        """Start the sync of a synced list; ``None`` if one is already running."""
        try:
            return self._part("POST", audience_id, "/sync", SyncStarted, operation="start_sync")
        except ConflictError:
            return None

    # --- one call ------------------------------------------------------------------------------------------

    def _call(self, method: str, path: str, **call: Any) -> Any:
        if method not in SAFE_METHODS and self.settings.organization and not self._organization_checked:
            # Once, before the first change. Without any audience, the organization of the key is unknown.
            next(self.list_audiences(), None)
            self._organization_checked = True
        return super()._call(method, path, **call)

    def _object(self, method: str, path: str, model: type[Model], **call: Any) -> Model:
        answer = self._call(method, path, **call)
        request_label = self._transport.request_label(method, path)
        return self._check_organization(
            self._parse(model, answer, request_label=request_label, mutating=method != "GET")
        )

    def _list(self, method: str, path: str, model: type[Model], **call: Any) -> list[Model]:
        answer = self._call(method, path, **call)
        return self._items(answer, model, method, path)

    def _items(self, answer: Any, model: type[Model], method: str, path: str) -> list[Model]:
        request_label = self._transport.request_label(method, path)
        # A bare array on the hand-written pages, "data" in the API description.
        items = answer.get("data") if isinstance(answer, Mapping) else answer
        if not isinstance(items, list):
            raise self._unexpected_response(request_label, "it contains no list", mutating=method != "GET")
        return [
            self._parse(model, item, request_label=request_label, mutating=method != "GET") for item in items
        ]

    def _pages(self, path: str, model: type[Model], **call: Any) -> Iterator[Model]:
        """Yield all items of a list with cursors.

        The last page is empty, has no end cursor, or a repeated one; the vendor does not mark it. A short page is not
        the last: an audience missed behind it would be created a second time.
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
        """Call ``rest`` below the path of an audience."""
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

    def _check_organization(self, item: Model) -> Model:
        """Return the object, if it belongs to the organization of the connection.

        :raises ConfigurationError: the key belongs to another organization.
        """
        actual = getattr(item, "organization_id", None)
        if self.settings.organization and actual and actual != self.settings.organization:
            raise ConfigurationError(
                what="The key belongs to another organization",
                where=VENDOR,
                why=f"it belongs to {actual}, and the connection names {self.settings.organization}",
                next_step="Correct the key or the organization of the connection (Admin > Connections)",
            )
        return item

    def _message(self, answer: Any) -> str | None:
        """Return the vendor's message, in any of the shapes on its pages."""
        if not isinstance(answer, Mapping):
            return None
        messages = [
            answer[name]
            for name in ("error", "message")
            if isinstance(answer.get(name), str) and answer[name]
        ]
        problems = answer.get("issues") or answer.get("details")
        for item in problems if isinstance(problems, list) else ():
            text = item.get("message") if isinstance(item, Mapping) and "field" in item else None
            messages.append(issue_text({"field": item["field"], "type": text}) if text else issue_text(item))
        return "; ".join(dict.fromkeys(messages)) or None


def _path(audience_id: str, rest: str = "") -> str:
    return f"/audiences/{audience_id}{rest}"


def _subject(audience_id: str) -> str:
    return f"Audience {audience_id}"
