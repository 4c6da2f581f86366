"""The smallest platform there is: what the shared bases ask of one, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow.sdk.definitions.context import Context

from audience_onboarding.base.hooks import BearerHook
from audience_onboarding.base.links import PortalLink
from audience_onboarding.base.load import LoadContext
from audience_onboarding.base.operators import PlatformOperator
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.base.sensors import PlatformSensor
from audience_onboarding.base.triggers import PollingTrigger, PollResult
from audience_onboarding.base.upload_operator import OnboardCrmOperator
from audience_onboarding.crm.output.profiles import FileProfile, Identifier, ProfileColumn
from audience_onboarding.http import BearerClient, BearerSettings
from audience_onboarding.state.remote_ids import parse_str_id

HOST = "https://plain.example"
KEY = "sk_test_hunter22"


@dataclass(frozen=True, kw_only=True)
class PlainSettings(BearerSettings):
    """An account."""

    vendor: ClassVar[str] = "Plain"
    default_host: ClassVar[str] = HOST


class PlainClient(BearerClient[PlainSettings]):
    """Things have a state, and take lists."""

    def state_of(self, thing_id: str) -> str:
        """The state of a thing."""
        return str(self._call("GET", f"/things/{thing_id}", subject=f"Thing {thing_id}")["state"])

    def create_thing(self, name: str) -> str:
        """A new thing."""
        return str(self._call("POST", "/things", json={"name": name})["id"])

    def send_list(self, thing_id: str, content: bytes) -> None:
        """Put a list into a thing."""
        self._call("PUT", f"/things/{thing_id}", json={"list": content.decode()})

    def _message(self, answer: Any) -> str | None:
        return None


class PlainHook(BearerHook[PlainClient]):
    """A connection."""

    conn_name_attr = "plain_conn_id"
    default_conn_name = "plain_default"
    conn_type = "plain"
    hook_name = "Plain"
    client_type = PlainClient
    settings_type = PlainSettings

    def __init__(self, plain_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(plain_conn_id, **kwargs)

    def connection_summary(self) -> str:
        """Look at one thing."""
        return f"The first thing is {self.client.state_of('first')}"


class PlainPortalLink(PortalLink):
    """The thing in the portal."""

    name = "Plain portal"


class PlainTrigger(PollingTrigger[PlainClient]):
    """Fires when a thing is ready or broken."""

    hook_class = PlainHook

    def __init__(self, *, thing_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.thing_id = thing_id

    def poll(self, client: PlainClient) -> PollResult:
        """Ask for its state."""
        state = client.state_of(self.thing_id)
        if state == "ready":
            return PollResult.success(state, {"thing_id": self.thing_id, "state": state})
        if state == "broken":
            return PollResult.failure(state, "the thing is broken")
        return PollResult(state, f"the thing is {state}", known=state in {"new", "busy"})

    def trigger_kwargs(self) -> dict[str, Any]:
        """Which thing."""
        return {"thing_id": self.thing_id}


class PlainSensor(PlatformSensor[PlainHook]):
    """Waits for a thing."""

    template_fields: Sequence[str] = ("thing_id", "plain_conn_id")
    operator_extra_links = (PlainPortalLink(),)
    hook_class = PlainHook
    poke_before_defer = True

    def __init__(
        self,
        *,
        thing_id: str = "t-7",
        known: dict[str, Any] | None = None,
        plain_conn_id: str = PlainHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.plain_conn_id = plain_conn_id
        self.thing_id = thing_id
        self.known = known

    @property
    def target_label(self) -> str:
        """What is waited for."""
        return f"Thing {parse_str_id(self.thing_id)}"

    def trigger(self, *, deadline: float) -> PlainTrigger:
        """The wait itself."""
        return PlainTrigger(
            conn_id=self.plain_conn_id,
            thing_id=parse_str_id(self.thing_id),
            poll_interval=self.poke_interval,
            deadline=deadline,
        )

    def early_result(self) -> dict[str, Any] | None:
        """What the test says."""
        return self.known

    def persist_links(self) -> None:
        """The thing in the portal."""
        PlainPortalLink.persist(self, self.hook.client.settings, audience_id=parse_str_id(self.thing_id))


class PlainOperator(PlatformOperator[PlainHook, str]):
    """Base of the operators."""

    hook_class = PlainHook
    read_id = staticmethod(parse_str_id)

    def __init__(self, *, plain_conn_id: str = PlainHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plain_conn_id = plain_conn_id


class PlainEnsureOperator(PlainOperator):
    """Creates a thing, unless it is there."""

    template_fields: Sequence[str] = ("thing_name", "is_dry_run", "plain_conn_id")

    def __init__(self, *, thing_name: str = "Thing", is_dry_run: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.thing_name = thing_name
        self.is_dry_run = is_dry_run

    @fail_on_terminal_error
    def execute(self, context: Context) -> str | None:
        """Return its id."""
        creation = self._creation(
            "thing",
            self.thing_name,
            create=lambda: self.hook.client.create_thing(self.thing_name),
            sent={"name": self.thing_name},
        )
        return self._ensure(context, "audience", creation, is_dry_run=self.is_dry_run)


class PlainListOperator(PlainOperator):
    """Has no ``__init__`` of its own."""

    template_fields: Sequence[str] = ("plain_conn_id",)

    def execute(self, context: Context) -> str:
        """The audience that is remembered."""
        return self._audience_id(context, None)


class PlainOnboardOperator(OnboardCrmOperator[PlainHook, str]):
    """Sends hashed e-mail addresses, and raw phone numbers where ``profile`` is exchanged for :data:`RAW`."""

    template_fields: Sequence[str] = (*OnboardCrmOperator.template_fields, "plain_conn_id")
    modes = ("replace", "opt-in")
    profile = FileProfile(name="plain", columns=(ProfileColumn(Identifier.EMAIL, "email", "sha256"),))
    hook_class = PlainHook
    read_id = staticmethod(parse_str_id)

    def __init__(self, *, plain_conn_id: str = PlainHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plain_conn_id = plain_conn_id

    def get_audience(self, load: LoadContext) -> str:
        """Return the id that is given or stored."""
        thing_id = self._audience_id(load.context, self.audience_id)
        self.hook.client.state_of(thing_id)
        return thing_id

    def upload(self, load: LoadContext, audience: Any) -> dict[str, Any]:
        """Send it, unless it is confirmed already."""
        confirmed = load.find_confirmed(audience)
        if confirmed is not None:
            return {"audience_id": audience, "uploaded": False, "confirmed": confirmed}
        self.hook.client.send_list(audience, b"".join(load.file.chunks(1000)))
        return {"audience_id": audience, "uploaded": True}


RAW = FileProfile(
    name="plain_raw",
    columns=(
        ProfileColumn(Identifier.EMAIL, "email", "sha256"),
        ProfileColumn(Identifier.PHONE, "phone", "raw", prefix="+"),
    ),
)
