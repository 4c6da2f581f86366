"""The columns of a load: which source column fills which column of the file, and by which rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from audience_onboarding.crm.identifiers.rules import Rule, get_rule
from audience_onboarding.crm.output.profiles import FileProfile, Identifier, ProfileColumn, SourceColumn
from audience_onboarding.exceptions import ConfigurationError


@dataclass(frozen=True)
class Field:
    """One column of the file: its source column and its rule."""

    column: ProfileColumn
    source: SourceColumn
    rule: Rule

    @property
    def identifier(self) -> Identifier:
        return self.column.identifier

    @property
    def name(self) -> str:
        return self.column.identifier.value


def build_fields(
    columns: Mapping[Identifier, str | SourceColumn], profile: FileProfile, country: str
) -> list[Field]:
    """Return the fields in the order of the profile.

    :param columns: by identifier, the source column that holds it.
    :param country: ISO 3166-1 alpha-2 code of phone numbers without country code.
    :raises ConfigurationError: the arguments contradict each other.
    """
    import phonenumbers  # only for the list of countries

    if country not in phonenumbers.SUPPORTED_REGIONS:
        raise ConfigurationError(
            what="Unknown country", why=repr(country), next_step="Use an ISO 3166-1 alpha-2 code such as NL"
        )
    unknown = set(columns) - {column.identifier for column in profile.columns}
    if unknown or not columns:
        names = ", ".join(sorted(key.value for key in unknown))
        raise ConfigurationError(
            what=f"The file {profile.name} has no column for {names}"
            if unknown
            else "The definition maps no column",
            next_step=f"Map any of: {', '.join(column.identifier.value for column in profile.columns)}",
        )
    if not any(identifiers <= set(columns) for identifiers in profile.identified_by):
        raise ConfigurationError(
            what="No mapped column is an identifier",
            why=", ".join(sorted(key.value for key in columns)),
            next_step="Map an identifier such as email or phone; an address needs postal_code and house_number",
        )
    fields = []
    for column in profile.columns:
        if column.identifier not in columns:
            continue
        mapped = columns[column.identifier]
        source = SourceColumn(mapped) if isinstance(mapped, str) else mapped
        if source.hashed and column.transform != "sha256":
            raise ConfigurationError(
                what=f"The column of {column.identifier.value} cannot hold hashes: the vendor gets it unhashed",
                next_step=f"Map a column of the export with unhashed values, or leave {column.identifier.value} out",
            )
        rule = get_rule(
            column.identifier,
            country=country,
            strip_plus_tag=profile.strip_plus_tag,
            hashed=source.hashed,
        )
        fields.append(Field(column, source, rule))
    return fields
