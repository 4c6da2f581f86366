"""Hashes of identifiers of the people to be erased."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from audience_onboarding.crm.identifiers.normalize import EMPTY_HASH
from audience_onboarding.crm.output.profiles import FileProfile, Identifier
from audience_onboarding.exceptions import ConfigurationError

IDENTIFIERS = (Identifier.EMAIL, Identifier.PHONE, Identifier.PERSONAL_ID)
"""Identifiers for erasure; each platform uses some of them."""

_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class SubjectHashes:
    """Hashes of identifiers in lower case. Its repr shows none of them.

    :param hashes: by the name of the identifier.
    """

    hashes: Mapping[str, frozenset[str]] = field(repr=False)

    @classmethod
    def read(cls, values: Mapping[Identifier, Iterable[str]]) -> SubjectHashes:
        """Parse hashes of either case.

        :raises ConfigurationError: one is not a SHA-256, or that of the empty string, which matches anyone. The
            message does not repeat it.
        """
        parsed: dict[str, frozenset[str]] = {}
        for identifier, texts in values.items():
            hashes = [str(text).strip() for text in texts]
            if not all(_HASH.fullmatch(text) for text in hashes):
                raise ConfigurationError(
                    what=f"Invalid hash in {identifier.value}: not a SHA-256 in hexadecimal digits",
                    next_step="Give 64 hexadecimal digits each; 'python -m audience_onboarding hash' makes them",
                )
            parsed[identifier.value] = frozenset(text.lower() for text in hashes)
            if EMPTY_HASH in parsed[identifier.value]:
                raise ConfigurationError(
                    what=f"Invalid hash in {identifier.value}: it is that of the empty string",
                    next_step="Remove it: it identifies no one",
                )
        return cls(parsed)

    def of(self, identifier: str) -> frozenset[str]:
        """Return the hashes of one identifier."""
        return self.hashes.get(identifier, frozenset())

    def only(self, identifiers: Iterable[str]) -> SubjectHashes:
        """Return the hashes of some identifiers."""
        selected = set(identifiers)
        return SubjectHashes({name: values for name, values in self.hashes.items() if name in selected})

    @property
    def count(self) -> int:
        """Number of hashes."""
        return sum(map(len, self.hashes.values()))

    def counts(self) -> dict[str, int]:
        """Return the number of hashes by identifier, without zeros."""
        return {name: len(values) for name, values in self.hashes.items() if values}


def build_opt_out_file(subjects: SubjectHashes, profile: FileProfile) -> bytes:
    """Build the file that removes people: a row per hash, as each record that matches any of them must be removed.

    :param subjects: at least one hash, of identifiers that the profile sends hashed.
    :param profile: the vendor's file. Columns without a value are left out.
    :return: the same bytes for the same hashes.
    """
    import polars as pl

    from audience_onboarding.crm.output.crm_file import compress
    from audience_onboarding.crm.output.encoder import CsvEncoder

    columns = tuple(
        column
        for column in profile.columns
        if column.transform == "sha256" and subjects.of(column.identifier.value)
    )
    encoder = CsvEncoder(profile, columns, frozenset(column.identifier for column in columns))
    rows = [
        {name: value if name == own else None for name in encoder.names}
        for own in encoder.names
        for value in sorted(subjects.of(own))
    ]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(encoder.names, pl.String))
    return b"".join(compress([encoder.header(), *encoder.lines(frame)], profile.compression))
