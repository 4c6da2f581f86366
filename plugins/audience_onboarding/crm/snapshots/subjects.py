"""People who are to be erased, known by the hashes of their identifiers only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from audience_onboarding.crm.identifiers.normalize import EMPTY_HASH
from audience_onboarding.crm.output.encoder import CsvEncoder
from audience_onboarding.crm.output.profiles import FileProfile, Identifier
from audience_onboarding.exceptions import ConfigurationError

IDENTIFIERS = (Identifier.EMAIL, Identifier.PHONE, Identifier.PERSONAL_ID)
"""What people are known by; each platform takes some of them."""

_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class SubjectHashes:
    """Hashes of identifiers, in lower case. Its text shows none of them.

    :param hashes: by the name of the identifier.
    """

    hashes: Mapping[str, frozenset[str]] = field(repr=False)

    @classmethod
    def read(cls, values: Mapping[Identifier, Iterable[str]]) -> SubjectHashes:
        """Take hashes of either case.

        :raises ConfigurationError: one is no SHA-256, or that of nothing, which would be anybody's. The message does
            not repeat it.
        """
        found: dict[str, frozenset[str]] = {}
        for identifier, given in values.items():
            hashes = [str(value).strip() for value in given]
            if not all(_HASH.fullmatch(value) for value in hashes):
                raise ConfigurationError(
                    what=f"What is given as {identifier.value} is not all SHA-256 in hexadecimal digits",
                    next_step="Give 64 hexadecimal digits each; 'python -m audience_onboarding hash' makes them",
                )
            lowered = frozenset(value.lower() for value in hashes)
            if EMPTY_HASH in lowered:
                raise ConfigurationError(
                    what=f"One of the hashes given as {identifier.value} is that of an empty text",
                    next_step="Leave it out: it is nobody's",
                )
            found[identifier.value] = lowered
        return cls(found)

    def of(self, identifier: str) -> frozenset[str]:
        """The hashes of one identifier."""
        return self.hashes.get(identifier, frozenset())

    def only(self, identifiers: Iterable[str]) -> SubjectHashes:
        """Those hashes that are of some identifiers."""
        wanted = set(identifiers)
        return SubjectHashes({name: values for name, values in self.hashes.items() if name in wanted})

    @property
    def count(self) -> int:
        """Number of hashes."""
        return sum(map(len, self.hashes.values()))

    def counts(self) -> dict[str, int]:
        """Number of hashes by identifier, without those of which there are none."""
        return {name: len(values) for name, values in self.hashes.items() if values}


def build_opt_out_file(people: SubjectHashes, profile: FileProfile) -> bytes:
    """The file that takes people out: a row for each hash, as a record that matches any of them has to go.

    :param people: at least one, of identifiers that the profile sends hashed.
    :param profile: what the vendor's file looks like. Columns that nothing is sent in are left out.
    :return: the same bytes for the same people.
    """
    import zlib

    import polars as pl

    columns = tuple(
        column
        for column in profile.columns
        if column.transform == "sha256" and people.of(column.identifier.value)
    )
    encoder = CsvEncoder(profile, columns, frozenset(column.identifier for column in columns))
    rows = [
        {name: value if name == own else None for name in encoder.names}
        for own in encoder.names
        for value in sorted(people.of(own))
    ]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(encoder.names, pl.String))
    content = encoder.header() + b"".join(encoder.lines(frame))
    if profile.compression == "none":
        return content
    packer = zlib.compressobj(wbits=31)  # gzip, with no time in its header
    return packer.compress(content) + packer.flush()
