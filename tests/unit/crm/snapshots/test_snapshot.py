"""Snapshots of sent lists, and the changes of a new list, compared with plain sets."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.crm.output.crm_file import CrmFile
from audience_onboarding.crm.output.encoder import CsvEncoder
from audience_onboarding.crm.output.profiles import (
    COMMBOX_AUDIENCE,
    DIGITAL_AUDIENCE_S3,
    FANFARE_IMPORT,
    FileProfile,
    Identifier,
    SourceColumn,
)
from audience_onboarding.crm.prepare import CsvSource, prepare
from audience_onboarding.crm.runtime.frame_store import FrameStore
from audience_onboarding.crm.runtime.thread_pool import OrderedThreadPool
from audience_onboarding.crm.snapshots import snapshot as snapshot_module
from audience_onboarding.crm.snapshots.diff import Difference, compare_lists, merge_lists, subtract_list
from audience_onboarding.crm.snapshots.snapshot import read_info, write_snapshot
from audience_onboarding.exceptions import (
    AccountingError,
    ConfigurationError,
    SourceFormatError,
    SourceNotFoundError,
    TerminalError,
)
from tests.profiles import THOROUGH
from tests.unit.crm.loads import BOTH, file_of

Row: TypeAlias = tuple["str | None", ...]

PLENTY = 100_000_000
CONTACT = (Identifier.EMAIL, Identifier.PHONE)
ADDRESS = (Identifier.POSTAL_CODE, Identifier.HOUSE_NUMBER, Identifier.EXTENSION)
ANNA, BOB, CARL = "anna@example.com", "bob@example.com", "carl@example.com"
ONE, TWO, THREE = "31611111111", "31622222222", "31633333333"


def get_encoder(profile: FileProfile, *identifiers: Identifier) -> CsvEncoder:
    return CsvEncoder(
        profile, tuple(column for column in profile.columns if column.identifier in identifiers)
    )


HASHED = get_encoder(DIGITAL_AUDIENCE_S3, *CONTACT)
RAW = get_encoder(FANFARE_IMPORT, *CONTACT)
MIXED = get_encoder(DIGITAL_AUDIENCE_S3, Identifier.EMAIL, *ADDRESS)
PHONES = get_encoder(COMMBOX_AUDIENCE, Identifier.PHONE)


class Lab:
    """Makes files of rows, and compares them."""

    def __init__(self, directory: Path, *, threads: int = 1, budget: int = PLENTY, block: int = 3) -> None:
        self.directory = directory
        self.pool = OrderedThreadPool(threads)
        self.budget = budget
        self.block = block
        self._made = 0

    @property
    def means(self) -> dict[str, Any]:
        return {"workdir": self.directory, "pool": self.pool, "budget": self.budget}

    def file(self, encoder: CsvEncoder, rows: Sequence[Row]) -> CrmFile:
        self._made += 1
        store = FrameStore(self.directory, f"made-{self._made}", budget=self.budget)
        for start in range(0, len(rows), self.block):
            some = rows[start : start + self.block]
            store.add(pl.DataFrame(some, schema=dict.fromkeys(encoder.names, pl.String), orient="row"))
        return file_of(encoder, store, self.pool)

    def snapshot(self, encoder: CsvEncoder, rows: Sequence[Row]) -> Path:
        self._made += 1
        path = self.directory / f"{self._made}.parquet"
        write_snapshot(self.file(encoder, rows), path)
        return path

    def compare_lists(self, encoder: CsvEncoder, old: Sequence[Row], new: Sequence[Row]) -> Difference:
        return compare_lists(self.file(encoder, new), self.snapshot(encoder, old), **self.means)


@contextmanager
def lab(**settings: int) -> Iterator[Lab]:
    with TemporaryDirectory() as directory:
        made = Lab(Path(directory), **settings)
        try:
            yield made
        finally:
            made.pool.close()


@pytest.fixture
def here() -> Iterator[Lab]:
    with lab() as made:
        yield made


def sent(file: CrmFile | None) -> list[Row]:
    """The rows of a file as the vendor gets them."""
    if file is None:
        return []
    header, *lines = b"".join(file.chunks(1000)).decode().removesuffix("\r\n").split("\r\n")
    assert header == file.encoder.header().decode().removesuffix("\r\n")
    assert len(lines) == file.rows
    assert file.size == sum(map(len, file.chunks(1000)))
    return [tuple(field or None for field in line.split(",")) for line in lines]


def ids_of(found: Difference) -> list[str | None]:
    """The content ids of the opt-in and the opt-out."""
    return [file and file.content_id for file in (found.opt_in, found.opt_out)]


def finished(encoder: CsvEncoder, row: Row) -> Row:
    """A row as the vendor gets it, one value at a time."""
    done: list[str | None] = []
    for column, value in zip(encoder.columns, row, strict=True):
        if value is None:
            done.append(None)
        elif column.transform == "sha256":
            done.append(hashlib.sha256(value.encode()).hexdigest())
        else:
            done.append(column.prefix + value)
    return tuple(done)


Value: TypeAlias = tuple[int, Row]


def values_of(encoder: CsvEncoder, row: Row) -> set[Value]:
    """Identifiers of a row: each column, except that an address with a number is one."""
    found: set[Value] = set()
    places = [number for number, column in enumerate(encoder.columns) if column.identifier in ADDRESS]
    for number, value in enumerate(row):
        if number not in places and value is not None:
            found.add((number, (value,)))
    address = tuple(row[number] for number in places)
    if places and address[0] is not None and address[1] is not None:
        found.add((places[0], address))
    return found


def values_of_all(encoder: CsvEncoder, rows: Iterable[Row]) -> set[Value]:
    return set().union(*(values_of(encoder, row) for row in rows))


def expected_opt_out(encoder: CsvEncoder, old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    held = values_of_all(encoder, new)
    places = [number for number, column in enumerate(encoder.columns) if column.identifier in ADDRESS]
    rows: list[Row] = []
    for row in old:
        gone = values_of(encoder, row) - held
        left: list[str | None] = [None] * len(row)
        for number, parts in gone:
            for place in places if number in places else [number]:
                left[place] = row[place]
            assert parts
        if gone and tuple(left) not in rows:
            rows.append(tuple(left))
    return rows


def rows_strategy(encoder: CsvEncoder) -> st.SearchStrategy[list[Row]]:
    """Lists in which values come again, in the same rows and in others; no row twice."""
    few = {
        Identifier.EMAIL: [ANNA, BOB, CARL, "dora@example.com"],
        Identifier.PHONE: [ONE, TWO, THREE],
        Identifier.POSTAL_CODE: ["1012AB", "3511CD"],
        Identifier.HOUSE_NUMBER: ["1", "11"],
        Identifier.EXTENSION: ["1", "A"],
    }
    row = st.tuples(*(st.none() | st.sampled_from(few[column.identifier]) for column in encoder.columns))
    return st.lists(row.filter(any), unique=True, max_size=14)


ENCODERS = pytest.mark.parametrize(
    "encoder", [HASHED, RAW, MIXED, PHONES], ids=["hashed", "raw", "mixed", "phones"]
)
# The other tests have one bucket.
BUDGETS = pytest.mark.parametrize("budget", [400, PLENTY] if THOROUGH else [400])


# --- against plain sets -------------------------------------------------------------------------------------


@BUDGETS
@ENCODERS
@given(data=st.data())
def test_compare_lists_equals_set_model(encoder: CsvEncoder, budget: int, data: st.DataObject) -> None:
    old, new = data.draw(rows_strategy(encoder)), data.draw(rows_strategy(encoder))
    new = list(dict.fromkeys([*new, *old[: data.draw(st.integers(0, 14))]]))
    with lab(budget=budget) as made:
        found = made.compare_lists(encoder, old, new)

        assert sent(found.opt_in) == [finished(encoder, row) for row in new if row not in old]
        assert sent(found.opt_out) == [finished(encoder, row) for row in expected_opt_out(encoder, old, new)]
        assert found.unchanged == len(set(old) & set(new))
        assert (found.opt_in is None) == (set(new) <= set(old))


@BUDGETS
@ENCODERS
@given(data=st.data())
def test_merge_and_subtract_equal_set_model(encoder: CsvEncoder, budget: int, data: st.DataObject) -> None:
    old, new = data.draw(rows_strategy(encoder)), data.draw(rows_strategy(encoder))
    with lab(budget=budget) as made:
        file, previous = made.file(encoder, new), made.snapshot(encoder, old)

        both = merge_lists(file, previous, **made.means)
        left = subtract_list(file, previous, **made.means)

        assert sent(both if both.rows else None) == [
            finished(encoder, row) for row in dict.fromkeys([*old, *new])
        ]
        held = values_of_all(encoder, new)
        assert sent(left) == [finished(encoder, row) for row in old if not values_of(encoder, row) & held]
        assert (left is None) == (not sent(left))


class Vendor:
    """Drops each record that holds a value of an opt-out, and adds the rows of an opt-in."""

    def __init__(self, encoder: CsvEncoder) -> None:
        self.encoder = encoder
        self.records: set[Row] = set()

    def opt_out(self, rows: Sequence[Row]) -> None:
        gone = values_of_all(self.encoder, rows)
        self.records = {record for record in self.records if not values_of(self.encoder, record) & gone}

    def opt_in(self, rows: Sequence[Row]) -> None:
        self.records |= set(rows)

    def check_list(self, rows: Sequence[Row]) -> None:
        """Check that the records are the list; other records may only repeat values of it, which is harmless."""
        wanted = {finished(self.encoder, row) for row in rows}
        assert wanted <= self.records
        values = values_of_all(self.encoder, wanted)
        assert all(values_of(self.encoder, record) <= values for record in self.records)


@ENCODERS
@given(data=st.data())
def test_difference_sent_makes_vendor_equal_new_list(encoder: CsvEncoder, data: st.DataObject) -> None:
    vendor = Vendor(encoder)
    previous: Path | None = None
    with lab() as made:
        for rows in data.draw(st.lists(rows_strategy(encoder), min_size=1, max_size=4)):
            file = made.file(encoder, rows)
            found = compare_lists(file, previous, **made.means)
            vendor.opt_out(sent(found.opt_out))
            vendor.opt_in(sent(found.opt_in))
            previous = made.directory / "confirmed.parquet"
            write_snapshot(file, previous)

            vendor.check_list(rows)


@ENCODERS
@given(data=st.data())
def test_compare_lists_unconfirmed_attempts_cover_each_outcome(
    encoder: CsvEncoder, data: st.DataObject
) -> None:
    """The vendor may have processed the opt-out of an attempt, its opt-in, both or neither."""
    rows = rows_strategy(encoder)
    confirmed = data.draw(st.none() | rows)
    attempts = data.draw(st.lists(st.tuples(rows, st.booleans(), st.booleans()), max_size=3))
    final = data.draw(rows)
    vendor = Vendor(encoder)
    with lab() as made:
        previous: Path | None = None
        begun: list[Path] = []
        if confirmed is not None:
            previous = made.snapshot(encoder, confirmed)
            vendor.opt_in([finished(encoder, row) for row in confirmed])
        for attempt, is_out, is_in in [*attempts, (final, True, True)]:
            found = compare_lists(made.file(encoder, attempt), previous, attempts=begun, **made.means)
            if is_out:
                vendor.opt_out(sent(found.opt_out))
            if is_in:
                vendor.opt_in(sent(found.opt_in))
            begun.append(made.snapshot(encoder, attempt))

    vendor.check_list(final)


def test_compare_lists_attempt_of_same_list_changes_nothing(here: Lab) -> None:
    """So that a retry sends the same two files."""
    old: list[Row] = [(ANNA, ONE), (BOB, TWO)]
    new: list[Row] = [(BOB, TWO), (CARL, THREE)]
    file, previous = here.file(HASHED, new), here.snapshot(HASHED, old)

    first = compare_lists(file, previous, **here.means)
    again = compare_lists(file, previous, attempts=[here.snapshot(HASHED, new)], **here.means)

    assert None not in ids_of(first)
    assert ids_of(again) == ids_of(first)
    assert again.unchanged == 1


# --- single properties ---------------------------------------------------------------------------------------


HERE = ("1012AB", "1", "A")
EMAIL_AND_ID = get_encoder(FANFARE_IMPORT, Identifier.EMAIL, Identifier.CUSTOM)


class Change(NamedTuple):
    encoder: CsvEncoder
    old: list[Row]
    new: list[Row]
    opt_out: list[Row]


OPT_OUTS = {
    "a changed row loses its old value": Change(
        RAW, [(ANNA, ONE), (BOB, TWO)], [(ANNA, THREE), (BOB, TWO)], [(None, ONE)]
    ),
    "a value that moved to another row stays": Change(
        RAW, [(ANNA, ONE), (BOB, None)], [(BOB, ONE)], [(ANNA, None)]
    ),
    "the same text in another column is another value": Change(
        EMAIL_AND_ID, [(ANNA, BOB)], [(BOB, ANNA)], [(ANNA, BOB)]
    ),
    "opt-out rows that become alike are one": Change(
        RAW, [(ANNA, ONE), (ANNA, TWO), (CARL, None)], [(BOB, ONE), (BOB, TWO)], [(ANNA, None), (CARL, None)]
    ),
    "an address that changed is one value": Change(
        MIXED, [(ANNA, *HERE)], [(ANNA, "1012AB", "1", "B")], [(None, *HERE)]
    ),
    "an address that stayed is one value": Change(
        MIXED, [(ANNA, *HERE)], [(BOB, *HERE)], [(ANNA, None, None, None)]
    ),
    "parts of addresses do not run into one another": Change(
        MIXED,
        [(None, "1012AB", "1", "11"), (None, "1012AB", "1", None)],
        [(None, "1012AB", "11", "1")],
        [(None, "1012AB", "1", "11"), (None, "1012AB", "1", None)],
    ),
    "a postal code alone is never opted out": Change(
        MIXED, [(ANNA, "1012AB", None, None)], [(BOB, None, None, None)], [(ANNA, None, None, None)]
    ),
    "an empty snapshot has nothing to opt out": Change(HASHED, [], [(ANNA, ONE)], []),
    "another order changes nothing": Change(
        HASHED, [(ANNA, ONE), (BOB, None)], [(BOB, None), (ANNA, ONE)], []
    ),
}


@pytest.mark.parametrize("name", OPT_OUTS)
def test_opt_out_removed_values_are_listed(here: Lab, name: str) -> None:
    encoder, old, new, opt_out = OPT_OUTS[name]

    found = here.compare_lists(encoder, old, new)

    assert sent(found.opt_out) == [finished(encoder, row) for row in opt_out]
    assert (found.opt_out is None) == (not opt_out)
    assert sent(found.opt_in) == [finished(encoder, row) for row in new if row not in old]
    assert found.unchanged == len(set(old) & set(new))


def test_opt_out_postal_code_alone_is_left_out(here: Lab) -> None:
    previous = here.snapshot(MIXED, [(BOB, "1012AB", None, None), (ANNA, "1012AB", None, None)])

    left = subtract_list(here.file(MIXED, [(ANNA, "1012AB", None, None)]), previous, **here.means)

    assert sent(left) == [finished(MIXED, (BOB, "1012AB", None, None))]


def test_compare_lists_first_load_is_all_opt_in(here: Lab) -> None:
    file = here.file(HASHED, [(ANNA, ONE), (BOB, None)])

    found = compare_lists(file, None, **here.means)

    assert found.opt_in is not None
    assert found.opt_in.content_id == file.content_id
    assert sent(found.opt_in) == sent(file)
    assert (found.opt_out, found.unchanged) == (None, 0)


def test_snapshot_upper_case_hashes_are_hashed_once(here: Lab) -> None:
    encoder = replace(HASHED, profile=replace(DIGITAL_AUDIENCE_S3, hash_case="upper"))
    anna = hashlib.sha256(ANNA.encode()).hexdigest().upper()
    bob = hashlib.sha256(BOB.encode()).hexdigest().upper()
    file, previous = here.file(encoder, [(BOB, None)]), here.snapshot(encoder, [(ANNA, None)])

    found = compare_lists(file, previous, **here.means)
    both = merge_lists(file, previous, **here.means)

    assert sent(found.opt_out) == [(anna, None)]
    assert sent(found.opt_in) == [(bob, None)]
    assert sent(both) == [(anna, None), (bob, None)]


def test_snapshot_hashed_source_equals_unhashed_source(here: Lab, tmp_path: Path) -> None:
    digest = hashlib.sha256(ANNA.encode()).hexdigest().upper()
    (tmp_path / "hashed.csv").write_text(f"email,phone\n{digest},0611111111\n")
    (tmp_path / "raw.csv").write_text(f"email,phone\nAnna@Example.com,06 1111 1111\n{BOB},\n")
    hashed: dict[Identifier, str | SourceColumn] = {
        Identifier.EMAIL: SourceColumn("email", hashed=True),
        Identifier.PHONE: "phone",
    }
    settings: dict[str, Any] = {"profile": DIGITAL_AUDIENCE_S3, "threads": 1}
    with (
        prepare(CsvSource(tmp_path / "hashed.csv"), columns=hashed, **settings) as before,
        prepare(CsvSource(tmp_path / "raw.csv"), columns=BOTH, **settings) as after,
    ):
        write_snapshot(before, tmp_path / "before.parquet")
        found = compare_lists(after, tmp_path / "before.parquet", **here.means)

        assert sent(found.opt_in) == [finished(HASHED, (BOB, None))]
        assert (found.opt_out, found.unchanged) == (None, 1)


def test_snapshot_duplicates_of_source_are_left_out(here: Lab, tmp_path: Path) -> None:
    (tmp_path / "source.csv").write_text(f"email,phone\n{ANNA},\n{BOB},\nnobody,\n{ANNA},\n")
    with prepare(
        CsvSource(tmp_path / "source.csv", block_size=1), columns=BOTH, profile=FANFARE_IMPORT, threads=1
    ) as prepared:
        write_snapshot(prepared, tmp_path / "kept.parquet")

    assert pl.read_parquet(tmp_path / "kept.parquet").rows() == [(ANNA, None), (BOB, None)]


def test_compare_lists_several_results_are_independent(here: Lab) -> None:
    here.budget = 400  # everything goes to files
    file, previous = here.file(PHONES, [(ONE,), (TWO,)]), here.snapshot(PHONES, [(TWO,), (THREE,)])

    both = merge_lists(file, previous, **here.means)
    again = merge_lists(here.file(PHONES, [(ONE,)]), previous, **here.means)
    found = compare_lists(file, previous, **here.means)

    assert sent(both) == [(TWO,), (THREE,), (ONE,)]
    assert sent(again) == [(TWO,), (THREE,), (ONE,)]
    assert (sent(found.opt_in), sent(found.opt_out)) == ([(ONE,)], [(THREE,)])


# --- independence of the machine ----------------------------------------------------------------------------


def many(start: int, end: int) -> list[Row]:
    """Rows of which every third shares its phone with the one before."""
    return [
        (f"someone.{number}@example.com" if number % 5 else None, f"316{number - (number % 3 == 2):08}")
        for number in range(start, end)
        if number % 5 or number % 3 != 2
    ]


def outcome(encoder: CsvEncoder, **settings: int) -> list[object]:
    with lab(**settings) as made:
        file, previous = made.file(encoder, many(50, 200)), made.snapshot(encoder, many(0, 150))
        found = compare_lists(file, previous, **made.means)
        files = [
            found.opt_in,
            found.opt_out,
            merge_lists(file, previous, **made.means),
            subtract_list(file, previous, **made.means),
        ]
        assert not [path for path in made.directory.iterdir() if path.name.startswith("comparing-")]
        return [found.unchanged, *((made and made.content_id, sent(made)) for made in files)]


@pytest.mark.parametrize("encoder", [HASHED, RAW], ids=["hashed", "raw"])
def test_compare_lists_threads_memory_and_blocks_change_nothing(encoder: CsvEncoder) -> None:
    reference = outcome(encoder, threads=1, block=5000)

    assert reference == outcome(encoder, threads=4, block=7)
    assert reference == outcome(encoder, threads=2, block=30, budget=8_000)
    assert reference == outcome(encoder, threads=1, block=70, budget=30_000)


def test_content_id_other_process_is_equal() -> None:
    with lab() as made:
        found = made.compare_lists(HASHED, [(ANNA, ONE), (BOB, TWO)], [(BOB, TWO), (CARL, ONE)])

    assert [str(content_id)[:16] for content_id in ids_of(found)] == ["4ab73c3528b3bf45", "5fa822c6f5393d66"]


def test_compare_lists_small_budget_uses_many_buckets(here: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    is_in = pl.Expr.is_in

    def counted(self: pl.Expr, other: pl.Series, **kwargs: bool) -> pl.Expr:
        sizes.append(len(other.explode()))
        return is_in(self, other, **kwargs)

    monkeypatch.setattr(pl.Expr, "is_in", counted)
    here.budget, here.block = 8_000, 40
    here.compare_lists(HASHED, many(0, 400), many(0, 400))

    assert len(sizes) > 10
    assert max(sizes) < 80


# --- the file -----------------------------------------------------------------------------------------------


def test_snapshot_hashed_and_unhashed_columns_have_own_types(here: Lab) -> None:
    path = here.snapshot(MIXED, [(ANNA, "1012AB", "1", None), (None, "3511CD", "2", "A")])

    frame = pl.read_parquet(path)

    assert dict(frame.schema) == {
        "email": pl.Binary,
        "postal_code": pl.String,
        "house_number": pl.String,
        "extension": pl.String,
    }
    assert frame.rows() == [
        (hashlib.sha256(ANNA.encode()).digest(), "1012AB", "1", None),
        (None, "3511CD", "2", "A"),
    ]
    assert ANNA.encode() not in path.read_bytes()


def test_read_info_snapshot_returns_metadata(here: Lab, tmp_path: Path) -> None:
    file = here.file(MIXED, [(ANNA, "1012AB", "1", None)])
    write_snapshot(file, tmp_path / "kept.parquet")

    info = read_info(tmp_path / "kept.parquet")

    assert (info.version, info.rows, info.content_id) == (1, 1, file.content_id)
    assert list(info.transforms.items()) == [
        ("email", "sha256"),
        ("postal_code", "raw"),
        ("house_number", "raw"),
        ("extension", "raw"),
    ]


def test_write_snapshot_mode_is_0600(here: Lab, tmp_path: Path) -> None:
    path = tmp_path / "kept.parquet"
    path.touch(mode=0o644)
    before = os.umask(0)
    try:
        write_snapshot(here.file(RAW, [(ANNA, ONE)]), path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.parquet"]


def test_write_snapshot_of_a_snapshot_is_equal(here: Lab, tmp_path: Path) -> None:
    previous = here.snapshot(HASHED, [(ANNA, ONE), (BOB, None)])
    both = merge_lists(here.file(HASHED, [(CARL, None)]), previous, **here.means)

    write_snapshot(both, tmp_path / "kept.parquet")

    again = compare_lists(
        here.file(HASHED, [(ANNA, ONE), (BOB, None), (CARL, None)]),
        tmp_path / "kept.parquet",
        **here.means,
    )
    assert again == Difference(None, None, 3)


def test_snapshot_more_rows_than_a_block_are_read(here: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_module, "_ROWS_PER_BLOCK", 4)
    rows: list[Row] = [(f"316{number:08}",) for number in range(10)]

    found = here.compare_lists(PHONES, rows, rows[5:])

    assert sent(found.opt_out) == rows[:5]
    assert found.unchanged == 5


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        (get_encoder(FANFARE_IMPORT, Identifier.EMAIL), RAW, ["email (unhashed)", "phone (unhashed)"]),
        (RAW, get_encoder(FANFARE_IMPORT, Identifier.EMAIL), ["email (unhashed)", "phone (unhashed)"]),
        (RAW, HASHED, ["email (unhashed)", "email (hashed)"]),
    ],
    ids=["column more", "column less", "other transform"],
)
def test_open_snapshot_other_columns_raises(
    here: Lab, before: CsvEncoder, after: CsvEncoder, named: list[str]
) -> None:
    row: Row = (ANNA, ONE)
    previous = here.snapshot(before, [row[: len(before.columns)]])
    file = here.file(after, [row[: len(after.columns)]])

    for work in (compare_lists, merge_lists, subtract_list):
        with pytest.raises(ConfigurationError, match="mode replace") as caught:
            work(file, previous, **here.means)
        assert all(name in caught.value.why for name in named)


def test_open_snapshot_other_order_of_columns_fits(here: Lab) -> None:
    swapped = replace(RAW, columns=RAW.columns[::-1])
    previous = here.snapshot(swapped, [(ONE, ANNA)])

    found = compare_lists(here.file(RAW, [(ANNA, ONE)]), previous, **here.means)

    assert found == Difference(None, None, 1)


def described(path: Path, **changes: object) -> None:
    """Change the metadata of a snapshot."""
    frame = pl.read_parquet(path)
    key = "audience_onboarding.snapshot"
    said = {**json.loads(pl.read_parquet_metadata(path)[key]), **changes}
    frame.write_parquet(path, metadata={key: json.dumps(said)})


def garble(path: Path) -> None:
    # The data of the first page, not the footer.
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 56 + content[60:])


def shorten_hashes(path: Path) -> None:
    said = pl.read_parquet_metadata(path)
    said.pop("ARROW:schema")
    frame = pl.read_parquet(path).with_columns(pl.col("email").bin.slice(0, 20))
    frame.write_parquet(path, metadata=said)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "garbled": garble,
    "text": lambda path: path.write_text(f"{ANNA},{ONE}\n"),
    "empty": lambda path: path.write_bytes(b""),
    "not a snapshot": lambda path: pl.read_parquet(path).write_parquet(path),
    "fewer rows": lambda path: described(path, rows=17),
    "other columns": lambda path: described(path, transforms={"email": "sha256"}),
    "unknown transform": lambda path: described(path, transforms={"email": "rot13", "phone": "raw"}),
    "transforms as a list": lambda path: described(path, transforms=["email"]),
    "short hashes": shorten_hashes,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_open_snapshot_damaged_error_quotes_no_data(
    here: Lab, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    encoder = get_encoder(DIGITAL_AUDIENCE_S3, Identifier.EMAIL, Identifier.CUSTOM)
    previous = here.snapshot(encoder, [(ANNA, "customer 1"), (BOB, "customer 2")])
    damage(previous)

    with pytest.raises(SourceFormatError, match="snapshot of the last load") as caught:
        compare_lists(here.file(encoder, [(CARL, "customer 3")]), previous, **here.means)

    assert_private(caught.value)
    assert "mode replace" in caught.value.next_step


def assert_private(error: BaseException) -> None:
    assert error.__cause__ is None
    assert error.__context__ is None
    assert not any(value in repr(vars(error)) for value in (ANNA, BOB, CARL, ONE, "customer"))


def test_open_snapshot_other_version_raises(here: Lab) -> None:
    previous = here.snapshot(RAW, [(ANNA, ONE)])
    described(previous, version=2)

    with pytest.raises(ConfigurationError, match="version 2"):
        read_info(previous)


def test_open_snapshot_missing_raises(here: Lab) -> None:
    with pytest.raises(SourceNotFoundError, match="snapshot of the last load does not exist"):
        read_info(here.directory / "none.parquet")


def breaking(error: Exception, *frames: pl.DataFrame) -> Callable[[], Iterator[pl.DataFrame]]:
    """Frames of a file, then an error."""

    def read() -> Iterator[pl.DataFrame]:
        yield from frames
        raise error

    return read


def test_write_snapshot_failed_keeps_the_old_one(here: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    previous = here.snapshot(RAW, [(ANNA, ONE)])
    before = previous.read_bytes()
    file = here.file(RAW, [(BOB, TWO)])

    first = pl.DataFrame({"email": [BOB], "phone": [TWO]})

    monkeypatch.setattr(file, "frames", breaking(pl.exceptions.ComputeError(f"cannot read {BOB}"), first))
    with pytest.raises(TerminalError, match="cannot be written") as caught:
        write_snapshot(file, previous)

    assert_private(caught.value)
    assert previous.read_bytes() == before
    assert [path.name for path in here.directory.iterdir()] == [previous.name]


def test_write_snapshot_error_of_rows_is_raised(here: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    file = here.file(RAW, [(BOB, TWO)])

    monkeypatch.setattr(file, "frames", breaking(ConfigurationError(what="no space to spill")))
    with pytest.raises(ConfigurationError, match="no space to spill"):
        write_snapshot(file, here.directory / "kept.parquet")


def test_write_snapshot_missing_rows_removes_file(here: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    file = here.file(RAW, [(ANNA, ONE), (BOB, TWO)])
    monkeypatch.setattr(file, "frames", lambda: iter([pl.DataFrame({"email": [ANNA], "phone": [ONE]})]))

    with pytest.raises(AccountingError, match="1 of 2"):
        write_snapshot(file, here.directory / "kept.parquet")

    assert not list(here.directory.iterdir())


def test_write_snapshot_missing_directory_raises(here: Lab) -> None:
    with pytest.raises(TerminalError, match="cannot be written"):
        write_snapshot(here.file(RAW, [(ANNA, ONE)]), here.directory / "none" / "kept.parquet")


def test_compare_lists_polars_error_is_withheld(here: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    file, previous = here.file(RAW, [(BOB, TWO)]), here.snapshot(RAW, [(ANNA, ONE)])

    monkeypatch.setattr(file, "frames", breaking(pl.exceptions.ComputeError(f"cannot read {BOB}")))
    with pytest.raises(TerminalError, match="ComputeError") as caught:
        compare_lists(file, previous, **here.means)

    assert_private(caught.value)
