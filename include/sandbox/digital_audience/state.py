"""What Digital Audience remembers: users, sessions, campaigns, audiences, segments, platform accounts.

Field names on the wire are in :mod:`sandbox.digital_audience.views`. Ids of different kinds come from ranges
far apart, and a segment's two ids are never equal, so that mixing them up is always noticed.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from sandbox.clock import Clock
from sandbox.inventory import Creations
from sandbox.settings import SettingsStore

Member: TypeAlias = tuple[str, ...]
"""One record: its identifiers as ``kind=value``, in the order of the vendor's header list."""

NO_DATA: Final = "NODATA"
PROCESSING: Final = "PROCESSING"


class NotFoundError(Exception):
    """No such thing, or it belongs to another organisation; the two are not told apart."""

    def __init__(self, what: str, ident: int) -> None:
        super().__init__(f"{what} {ident} was not found")


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
    name: str
    platform_id: int
    platform_name: str
    platform_display_name: str
    agency_id: int
    agency_name: str
    account_type_id: int | None
    account_type_name: str | None
    advertiser_id: int | None
    client_id: str
    access_token: str | None = field(repr=False)
    created: datetime


@dataclass(frozen=True)
class ActivationOrder:
    """The body of POST /audience/activate, checked."""

    audience_id: int
    account_id: int
    name: str
    description: str
    start: datetime
    end: datetime


class DigitalAudienceState:
    """All of the vendor's memory. Take :attr:`lock` for anything that touches more than one field."""

    def __init__(self, clock: Clock, settings: SettingsStore) -> None:
        self._clock = clock
        self._settings = settings
        self.lock = threading.RLock()
        start = settings.current
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
        self.accounts = {account.id: account for account in _accounts(self.users, clock.now())}
        # never restarted, not even by a reset: a real vendor does not give an id out twice
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

    def user_of(self, token: str) -> User | None:
        """Return who is logged in with this cookie value; None when it is unknown or has expired."""
        with self.lock:
            session = self.sessions.get(token)
            if session is None:
                return None
            if session.expires <= self._clock.now():
                del self.sessions[token]
                return None
            return session.user

    def expire_sessions(self) -> int:
        """End all sessions; return how many there were."""
        with self.lock:
            count = len(self.sessions)
            self.sessions.clear()
            return count

    # --- look-ups ---------------------------------------------------------------------------------------

    def campaign(self, user: User, ident: int) -> Campaign:
        """Return a campaign of this user.

        :raises NotFoundError: unknown, or another organisation's.
        """
        campaign = self.campaigns.get(ident)
        if campaign is None or campaign.user is not user:
            raise NotFoundError("campaign", ident)
        return campaign

    def audience(self, user: User, ident: int) -> Audience:
        """Return an audience of this user.

        :raises NotFoundError: unknown, or another organisation's.
        """
        audience = self.audiences.get(ident)
        if audience is None or audience.user is not user:
            raise NotFoundError("audience", ident)
        return audience

    def segment(self, user: User, ident: int) -> Segment:
        """Return a segment of this user by its ``segmentId``.

        :raises NotFoundError: unknown, or another organisation's.
        """
        segment = self.segments.get(ident)
        if segment is None or segment.user is not user:
            raise NotFoundError("segment", ident)
        return segment

    def account(self, user: User, ident: int) -> Account:
        """Return a platform account of this user's organisation.

        :raises NotFoundError: unknown, or another organisation's.
        """
        account = self.accounts.get(ident)
        if account is None or account.user is not user:
            raise NotFoundError("platform account", ident)
        return account

    def accounts_of(self, user: User) -> list[Account]:
        """Return the platform accounts of this user's organisation."""
        return [account for account in self.accounts.values() if account.user is user]

    # --- changes ----------------------------------------------------------------------------------------

    def create_campaign(self, user: User, name: str) -> Campaign:
        """Create a campaign; a second one of the same name is a second campaign."""
        with self.lock:
            campaign = Campaign(next(self._campaign_ids), user, name, self._clock.now())
            self.campaigns[campaign.id] = campaign
            self.created.add("campaign", name)
            return campaign

    def create_audience(self, user: User, campaign_id: int, name: str, description: str | None) -> Audience:
        """Create an audience; a second one of the same name is a second audience.

        :raises NotFoundError: no such campaign.
        """
        with self.lock:
            campaign = self.campaign(user, campaign_id)
            now = self._clock.now()
            audience = Audience(next(self._audience_ids), user, campaign, name, description, now, now)
            self.audiences[audience.id] = audience
            self.created.add("audience", name, campaign_id)
            self.write_log(audience, "created", "audience created")
            return audience

    def update_audience(self, user: User, ident: int, name: str, description: str | None) -> Audience:
        """Rename an audience; a description left out is kept.

        :raises NotFoundError: no such audience.
        """
        with self.lock:
            audience = self.audience(user, ident)
            audience.name = name
            if description is not None:
                audience.description = description
            audience.updated = self._clock.now()
            return audience

    def delete_audience(self, user: User, ident: int) -> None:
        """Delete an audience with its members and segments.

        :raises NotFoundError: no such audience.
        """
        with self.lock:
            audience = self.audience(user, ident)
            for segment_id in audience.segments:
                del self.segments[segment_id]
            audience.segments.clear()
            audience.members = frozenset()
            del self.audiences[ident]

    def activate(self, user: User, order: ActivationOrder) -> Segment:
        """Create a segment of the audience on a platform account; a second order is a second segment.

        :raises NotFoundError: no such audience or account.
        """
        with self.lock:
            audience, account = self.audience(user, order.audience_id), self.account(user, order.account_id)
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
                start=order.start,
                end=order.end,
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

        :raises NotFoundError: no such segment.
        """
        with self.lock:
            segment = self.segment(user, ident)
            del self.segments[ident]
            audience = self.audiences[segment.audience_id]
            del audience.segments[ident]
            audience.updated = self._clock.now()
            self.write_log(audience, "segment-deleted", f"segment {ident} deleted")
            return segment

    def write_log(self, audience: Audience, event: str, message: str, key: str | None = None) -> None:
        """Add a line to the audience's log."""
        with self.lock:
            audience.log.append(LogLine(self._clock.now(), event, message, key))

    def reset(self) -> None:
        """Forget everything but users and accounts."""
        with self.lock:
            self.sessions.clear()
            self.campaigns.clear()
            self.audiences.clear()
            self.segments.clear()
            self.created.clear()


def _accounts(users: Sequence[User], now: datetime) -> list[Account]:
    first, foreign = users

    def account(
        ident: int,
        user: User,
        name: str,
        platform: tuple[int, str, str],
        *,
        kind: tuple[int, str] | None,
        advertiser_id: int | None,
        token: bool = True,
    ) -> Account:
        return Account(
            id=ident,
            user=user,
            name=name,
            platform_id=platform[0],
            platform_name=platform[1],
            platform_display_name=platform[2],
            agency_id=11 if user is first else 12,
            agency_name="Example Agency" if user is first else "Foreign Agency",
            account_type_id=kind[0] if kind else None,
            account_type_name=kind[1] if kind else None,
            advertiser_id=advertiser_id,
            client_id=f"client-{ident}",
            # random per start, so that a copy of it in a log or an XCom can be searched for
            access_token=secrets.token_urlsafe(32) if token else None,
            created=now,
        )

    dv360, xandr = (7, "Google DDP", "DV360"), (2, "Xandr", "Xandr")
    adform, trade_desk = (3, "Adform", "Adform"), (9, "TheTradeDesk", "The Trade Desk")
    partner, advertiser = (1, "partner"), (2, "advertiser")
    return [
        account(501, first, "Example NL", dv360, kind=advertiser, advertiser_id=900501),
        account(502, first, "Example NL", xandr, kind=advertiser, advertiser_id=900502),
        account(503, first, "Example SE", adform, kind=partner, advertiser_id=None),
        account(
            504, first, "Example NL Trade Desk", trade_desk, kind=None, advertiser_id=900504, token=False
        ),
        account(505, first, "Example FI", dv360, kind=partner, advertiser_id=None),
        account(591, foreign, "Foreign NL", dv360, kind=advertiser, advertiser_id=900591),
    ]
