"""What ``plan`` says of an audience on Digital Audience, beyond what it says of all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from audience_onboarding.platforms.digital_audience.definition import (
    ActivationTarget,
    DigitalAudienceDefinition,
    object_key,
)


def audience(definition: DigitalAudienceDefinition) -> str:
    """Which audience is loaded, and whether it may be created."""
    if definition.id is not None:
        return f"the existing one with id {definition.id}; none is created"
    campaign, place = definition.campaign, ""
    if campaign is not None and campaign.id is not None:
        place = f" in the existing campaign {campaign.id}"
    elif campaign is not None:
        place = f" in the campaign {campaign.name!r}, which is created if need be"
    return f"created as {definition.name!r}{place}, unless an earlier load has created it"


def more(definition: DigitalAudienceDefinition, load_date: date | None) -> Iterator[tuple[str, str]]:
    """Further lines: what each is about, and what it says.

    :param load_date: of the next load; ``None`` if there is none.
    """
    if load_date is not None:
        modes = ("opt-out", "opt-in") if definition.mode == "mirror" else (definition.mode,)
        is_gzip = definition.file_profile.compression == "gzip"
        place = "<id>" if definition.id is None else definition.id
        yield "file", ", ".join(object_key(place, mode, load_date, is_gzip=is_gzip) for mode in modes)
    if definition.activation is None:
        return
    for target in definition.activation.targets:
        yield "activation", _target(target, load_date)
    extend = definition.activation.extend
    if extend is None:
        yield "upkeep", "none: segments end when they end"
    else:
        yield (
            "upkeep",
            f"segments that end within {extend.within_days} days are extended to {extend.days} days from then",
        )


def _target(target: ActivationTarget, load_date: date | None) -> str:
    account = target.account
    named = [
        *([f"account {account.id}"] if account.id is not None else []),
        *([account.platform] if account.platform is not None else []),
        *([repr(account.name)] if account.name is not None else []),
    ]
    text = f"{target.key}: {target.segment_name!r} on {', '.join(named)}, for {target.days} days"
    if load_date is None:
        return text
    return f"{text}: until {load_date + timedelta(days=target.days)} if it is created with the next load"
