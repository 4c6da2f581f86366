"""Digital Audience's state: users, sessions, campaigns, audiences, segments, platform accounts.

Ids of different kinds come from distant ranges, and a segment's two ids are never equal, so that a client that
confuses them always fails.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeAlias, TypeVar

from sandbox.api import ApiFailure
from sandbox.clock import iso
from sandbox.digital_audience.bodies import Activate
from sandbox.inventory import Creations
from sandbox.vendor import Services

Member: TypeAlias = tuple[str, ...]
"""One record: its identifiers as ``kind=value``, in the order of the vendor's header list."""

NO_DATA: Final = "NODATA"
PROCESSING: Final = "PROCESSING"


@dataclass(frozen=True)
class User:
    """A user, alone in an organisation."""

    id: int
    name: str
    password: str = field(repr=False)
    owns_bucket: bool


@dataclass(frozen=True)
class Session:
    """A login."""

    user: User
    expires: datetime


@dataclass(frozen=True)
class Campaign:
    """A campaign; names may repeat."""

    id: int
    user: User
    name: str
    created: datetime


@dataclass
class TypeCounts:
    """Counts of one data type in one upload. Page: Audience API, history.dataSet."""

    total: int = 0
    unique: int = 0
    match: int = 0
    usable: int = 0

    @property
    def rate(self) -> float:
        """Matched share of the unique values, 0.0 to 1.0."""
        return round(self.match / self.unique, 4) if self.unique else 0.0


@dataclass
class UploadEvent:
    """One good upload. Page: Audience API, crmData.history.history[date]."""

    audience_id: int
    mode: str
    total_rows: int
    created: datetime
    data_set: dict[str, TypeCounts]


@dataclass
class CrmData:
    """Page: Audience API, data.crmData."""

    insights_ready: bool = False
    size: int = 0
    total_events: int = 0
    history: dict[str, UploadEvent] = field(default_factory=dict)


@dataclass(frozen=True)
class LogLine:
    """A line of an audience's log, for the admin API."""

    time: datetime
    event: str
    message: str
    key: str | None = None


@dataclass
class Segment:
    """A platform segment. Page: Segment API, Segment - Properties."""

    segment_id: int
    record_id: int
    flow_id: str
    user: User
    audience_id: int
    account: Account
    name: str
    description: str
    start: datetime
    end: datetime
    created: datetime
    updated: datetime
    uploaded: bool = False
    upload_count: int = 0
    uploads: int = 0
    log_count: int = 1


@dataclass
class Audience:
    """A CRM audience. Page: Audience API, Audience - Fields."""

    id: int
    user: User
    campaign: Campaign
    name: str
    description: str | None
    created: datetime
    updated: datetime
    state: str = NO_DATA
    data_updated: datetime | None = None
    crm_data: CrmData | None = None
    members: frozenset[Member] = frozenset()
    usable_members: int = 0
    segments: dict[int, Segment] = field(default_factory=dict)
    log: list[LogLine] = field(default_factory=list)

    @property
    def has_data(self) -> bool:
        """Whether an upload ever succeeded."""
        return self.data_updated is not None


@dataclass(frozen=True)
class Account:
    """A platform account. Page: Segment API, Account - Properties; Organization API for accessToken."""

    id: int
    user: User
    platform_id: int
    fields: dict[str, object] = field(repr=False)
    """The account as the API shows it, with its live token."""


class DigitalAudienceState:
    """The vendor's whole state. Callers hold :attr:`lock`, except for the methods about sessions."""

    def __init__(self, services: Services) -> None:
        self._clock = services.clock
        self._settings = services.settings
        self.lock = threading.RLock()
        start = self._settings.current
        self.users: Sequence[User] = (
            User(123, start.username, start.password, owns_bucket=True),
            User(124, start.foreign_username, start.foreign_password, owns_bucket=False),
        )
        self._by_name = {user.name.lower(): user for user in self.users}
        self.sessions: dict[str, Session] = {}
        self.campaigns: dict[int, Campaign] = {}
        self.audiences: dict[int, Audience] = {}
        self.segments: dict[int, Segment] = {}
        self.created = Creations()
        self.accounts = {account.id: account for account in _accounts(self.users, self._clock.now())}
        # ids continue after a reset: a real vendor does not assign an id twice
        self._campaign_ids = itertools.count(3101)
        self._audience_ids = itertools.count(69249)
        self._segment_ids = itertools.count(41001)
        self._segment_record_ids = itertools.count(870001)

    # --- sessions ---------------------------------------------------------------------------------------

    def login(self, user_name: str, password: str) -> tuple[str, Session] | None:
        """Return a new cookie value and its session; None for a wrong user or password."""
        user = self._by_name.get(user_name.lower())
        if user is None or not secrets.compare_digest(user.password.encode(), password.encode()):
            return None
        token = secrets.token_urlsafe(32)
        session = Session(
            user, self._clock.now() + timedelta(seconds=self._settings.current.session_lifetime)
        )
        with self.lock:
            self.sessions[token] = session
        return token, session

    def user_with(self, token: str) -> User | None:
        """Return the user with this cookie value; None if it is unknown or has expired."""
        with self.lock:
            session = self.sessions.get(token)
            if session is None:
                return None
            if session.expires <= self._clock.now():
                del self.sessions[token]
                return None
            return session.user

    def expire_sessions(self) -> int:
        """End all sessions; return their number."""
        with self.lock:
            count = len(self.sessions)
            self.sessions.clear()
            return count

    # --- look-ups ---------------------------------------------------------------------------------------

    def audience(self, user: User, ident: int) -> Audience:
        """Return an audience of this user.

        :raises ApiFailure: unknown, or of another organisation.
        """
        return _owned(self.audiences, user, "audience", ident)

    def segment(self, user: User, ident: int) -> Segment:
        """Return a segment of this user by its ``segmentId``.

        :raises ApiFailure: unknown, or of another organisation.
        """
        return _owned(self.segments, user, "segment", ident)

    def accounts_of(self, user: User) -> list[Account]:
        """Return the platform accounts of this user's organisation."""
        return [account for account in self.accounts.values() if account.user is user]

    # --- changes ----------------------------------------------------------------------------------------

    def create_campaign(self, user: User, name: str) -> Campaign:
        """Create a campaign; a second one of the same name is a second campaign."""
        campaign = Campaign(next(self._campaign_ids), user, name, self._clock.now())
        self.campaigns[campaign.id] = campaign
        self.created.add("campaign", name)
        return campaign

    def create_audience(self, user: User, campaign_id: int, name: str, description: str | None) -> Audience:
        """Create an audience; a second one of the same name is a second audience.

        :raises ApiFailure: unknown campaign.
        """
        campaign = _owned(self.campaigns, user, "campaign", campaign_id)
        now = self._clock.now()
        audience = Audience(next(self._audience_ids), user, campaign, name, description, now, now)
        self.audiences[audience.id] = audience
        self.created.add("audience", name, campaign_id)
        self.write_log(audience, "created", "audience created")
        return audience

    def update_audience(self, user: User, ident: int, name: str, description: str | None) -> None:
        """Rename an audience; an omitted description stays.

        :raises ApiFailure: unknown audience.
        """
        audience = self.audience(user, ident)
        audience.name = name
        if description is not None:
            audience.description = description
        audience.updated = self._clock.now()

    def delete_audience(self, user: User, ident: int) -> None:
        """Delete an audience with its members and segments.

        :raises ApiFailure: unknown audience.
        """
        audience = self.audience(user, ident)
        for segment_id in audience.segments:
            del self.segments[segment_id]
        audience.segments.clear()
        audience.members = frozenset()
        del self.audiences[ident]

    def activate(self, user: User, order: Activate) -> Segment:
        """Create a segment of the audience on a platform account; a second order is a second segment.

        :raises ApiFailure: unknown audience or account.
        """
        audience = self.audience(user, order.audienceid)
        account = _owned(self.accounts, user, "platform account", order.accountid)
        now = self._clock.now()
        segment = Segment(
            segment_id=next(self._segment_ids),
            record_id=next(self._segment_record_ids),
            flow_id=str(uuid.uuid4()),
            user=user,
            audience_id=audience.id,
            account=account,
            name=order.name,
            description=order.description,
            start=order.startdate,
            end=order.enddate,
            created=now,
            updated=now,
        )
        self.segments[segment.segment_id] = audience.segments[segment.segment_id] = segment
        self.created.add("segment", order.name, audience.id)
        audience.updated = now
        self.write_log(audience, "activated", f"segment {segment.segment_id} created")
        return segment

    def delete_segment(self, user: User, ident: int) -> Segment:
        """Delete a segment.

        :raises ApiFailure: unknown segment.
        """
        segment = self.segment(user, ident)
        del self.segments[ident]
        audience = self.audiences[segment.audience_id]
        del audience.segments[ident]
        audience.updated = self._clock.now()
        self.write_log(audience, "segment-deleted", f"segment {ident} deleted")
        return segment

    def write_log(self, audience: Audience, event: str, message: str, key: str | None = None) -> None:
        """Add a line to the audience's log."""
        audience.log.append(LogLine(self._clock.now(), event, message, key))

    def reset(self) -> None:
        """Return to the initial state, with the same users and accounts."""
        with self.lock:
            self.sessions.clear()
            self.campaigns.clear()
            self.audiences.clear()
            self.segments.clear()
            self.created.clear()


class _Owned(Protocol):
    @property
    def user(self) -> User: ...


_OwnedT = TypeVar("_OwnedT", bound=_Owned)


def _owned(records: Mapping[int, _OwnedT], user: User, kind: str, ident: int) -> _OwnedT:
    """Return a record of this user; the answer is the same for an unknown id and one of another organisation."""
    record = records.get(ident)
    if record is None or record.user is not user:
        raise ApiFailure(404, f"{kind} {ident} was not found")
    return record


def _accounts(users: Sequence[User], now: datetime) -> list[Account]:
    first, foreign = users

    def account(
        ident: int,
        name: str,
        platform: tuple[int, str, str],
        kind: tuple[int, str] | None,
        *,
        advertiser_id: int | None = None,
        token: bool = True,
    ) -> Account:
        user = foreign if name.startswith("Foreign") else first
        fields = {
            "id": ident,
            "name": name,
            "platformId": platform[0],
            "platformName": platform[1],
            "platformDisplayName": platform[2],
            "agencyId": 11 if user is first else 12,
            "accountTypeId": kind[0] if kind else None,
            "advertiserId": advertiser_id,
            "clientId": f"client-{ident}",
            "agencyName": "Example Agency" if user is first else "Foreign Agency",
            "accountTypeName": kind[1] if kind else None,
            # random per start, so that tests can search logs and XComs for it
            "accessToken": secrets.token_urlsafe(32) if token else None,
            "defaultSegmentPricingCategoryId": None,
            "created": iso(now),
            "updated": iso(now),
        }
        return Account(ident, user, platform[0], fields)

    dv360, xandr = (7, "Google DDP", "DV360"), (2, "Xandr", "Xandr")
    adform, trade_desk = (3, "Adform", "Adform"), (9, "TheTradeDesk", "The Trade Desk")
    partner, advertiser = (1, "partner"), (2, "advertiser")
    return [
        account(501, "Example NL", dv360, advertiser, advertiser_id=900501),
        account(502, "Example NL", xandr, advertiser, advertiser_id=900502),
        account(503, "Example SE", adform, partner),
        account(504, "Example NL Trade Desk", trade_desk, None, advertiser_id=900504, token=False),
        account(505, "Example FI", dv360, partner),
        account(591, "Foreign NL", dv360, advertiser, advertiser_id=900591),
    ]
