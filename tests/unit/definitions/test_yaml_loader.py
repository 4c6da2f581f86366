"""Values of a YAML file with the lines where they stand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.definitions.diagnostics import SourceLocation
from audience_onboarding.definitions.yaml_loader import MAX_DEPTH, MAX_VALUES, YamlNode, deep_merge, load_yaml


def read(folder: Path, content: str | bytes) -> tuple[YamlNode | None, list[str]]:
    path = folder / "a.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    document, diagnostics = load_yaml(path)
    return document, list(map(str, diagnostics))


def good(folder: Path, content: str | bytes) -> YamlNode:
    document, diagnostics = read(folder, content)
    assert diagnostics == []
    assert document is not None
    return document


def line(document: YamlNode, *path: str | int) -> int | None:
    return document.locate(path).line


# --- lines ----------------------------------------------------------------------------------------------------


def test_a_field_stands_where_its_name_stands(tmp_path: Path) -> None:
    document = good(tmp_path, "# one\n\na: 1\nb:\n  c:\n    - 2\n    - d: 3\n      e: >\n        text\n")

    assert document.to_plain() == {"a": 1, "b": {"c": [2, {"d": 3, "e": "text\n"}]}}
    assert document.locate(("a",)) == SourceLocation("a.yaml", 3, 1, ("a",))
    assert document.locate(("b", "c", 1, "e")) == SourceLocation("a.yaml", 8, 7, ("b", "c", 1, "e"))
    assert [line(document, "b", "c"), line(document, "b", "c", 0), line(document, "b", "c", 1)] == [5, 6, 7]


def test_what_is_missing_stands_where_it_should_be(tmp_path: Path) -> None:
    document = good(tmp_path, "# one\na:\n  b: 1\n")

    assert document.locate(("a", "c", "d")) == SourceLocation("a.yaml", 2, 1, ("a", "c", "d"))
    assert document.locate(("z",)) == SourceLocation("a.yaml", 2, 1, ("z",))


def test_lines_are_those_of_an_editor(tmp_path: Path) -> None:
    for content in (
        "a: 1\r\n\r\nb:\r\n  c: 2\r\n",
        "\ufeffa: 1\n\nb:\n  c: 2\n",
        "---\na: 1\nb:\n  c: 2\n...\n",
        "a: 1\n\nb:\n  c: 2",
    ):
        document = good(tmp_path, content)
        assert document.to_plain() == {"a": 1, "b": {"c": 2}}, content
        assert (line(document, "b", "c"), document.locate(("a",)).column) == (4, 1), content


def test_what_an_alias_brings_along_stands_at_its_anchor(tmp_path: Path) -> None:
    document = good(tmp_path, "a: &x\n  b: 1\nc: *x\nd: [*x, 2]\n")

    assert document.to_plain() == {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}, 2]}
    assert (line(document, "c"), line(document, "c", "b"), line(document, "d", 0, "b")) == (3, 2, 2)


def test_what_a_merge_key_brings_along_stands_at_its_anchor(tmp_path: Path) -> None:
    document = good(
        tmp_path, "a: &x\n  b: 1\n  c: 2\nd: &y {c: 3, e: 4}\nf:\n  <<: *x\n  c: 5\ng:\n  <<: [*y, *x]\n"
    )

    assert document.to_plain()["f"] == {"b": 1, "c": 5}
    assert document.to_plain()["g"] == {"c": 3, "e": 4, "b": 1}
    assert (line(document, "f", "b"), line(document, "f", "c")) == (2, 7)
    assert (line(document, "g", "b"), line(document, "g", "c")) == (2, 4)


# --- what is wrong --------------------------------------------------------------------------------------------


WRONG: list[tuple[str | bytes, list[str]]] = [
    ("a: &x [*x]", ["a.yaml:1: a[0]: alias of a value that contains the alias"]),
    ("[" * 2000, ["a.yaml:1: invalid YAML: missing value"]),
    ("[" * 200 + "]" * 200, ["a.yaml:1: is nested more than 50 levels deep"]),
    ("a: {<<: 5}", ["a.yaml:1: a: '<<' needs an alias of a mapping, or a list of these"]),
    ("a: 1\n2: b\n", ["a.yaml:2: the name of a field must be text. Quote it if it is intended"]),
    ("yes: 2", ["a.yaml:1: the name of a field must be text. Quote it if it is intended"]),
    ("? [a]\n: 1", ["a.yaml:1: the name of a field must be text. Quote it if it is intended"]),
    ("a:\n  b: 1\n  b: 2\n", ["a.yaml:3: a.b: duplicate field, first in line 2"]),
    (
        "a: 2026-02-30\nb: !!python/name:os.system x\nb: 1\n",
        [
            "a.yaml:1: a: not a valid date",
            "a.yaml:2: b: unknown tag (a word that begins with '!'). Remove it",
            "a.yaml:3: b: duplicate field, first in line 2",
        ],
    ),
    ("a: !!binary aGVsbG8=", ["a.yaml:1: a: unknown tag (a word that begins with '!'). Remove it"]),
    ("a: !!set {b}", ["a.yaml:1: a: unknown tag (a word that begins with '!'). Remove it"]),
    ("a: 1\nb: \x00", ["a.yaml:2: invalid YAML: control character"]),
    (
        "a: 'x\nb: 1\n",
        ["a.yaml:2: invalid YAML: missing closing quote (the value begins in line 1)"],
    ),
    (b"a: 1\nb: \xff\xfe\n", ["a.yaml:2: not UTF-8 text. Save the file in this encoding"]),
    ("a: 1".encode("utf-16"), ["a.yaml:1: not UTF-8 text. Save the file in this encoding"]),
    ("", ["a.yaml: is empty. A definition is a mapping of fields"]),
    ("# only a comment\n", ["a.yaml: is empty. A definition is a mapping of fields"]),
    ("null", ["a.yaml:1: must be a mapping of fields"]),
    ("text", ["a.yaml:1: must be a mapping of fields"]),
    ("a: " + "9" * 5000, ["a.yaml:1: a: not a valid number"]),
]


def test_errors_have_their_line(tmp_path: Path) -> None:
    assert [(content, read(tmp_path, content)[1]) for content, _ in WRONG] == WRONG


def test_values_of_values_come_to_an_end(tmp_path: Path) -> None:
    # Nine lines that would be a thousand million values.
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for number in range(1, 9):
        lines.append(f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]")

    assert read(tmp_path, "\n".join(lines)) == (None, [f"a.yaml: has more than {MAX_VALUES:,} values"])
    assert MAX_DEPTH == 50


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "nowhere.yaml").symlink_to(tmp_path / "gone")
    (tmp_path / "secret.yaml").write_text("a: 1")
    (tmp_path / "secret.yaml").chmod(0)
    if os.access(tmp_path / "secret.yaml", os.R_OK):
        # Root may read all.
        forbid(monkeypatch)

    said = [
        str(diagnostic)
        for name in ("folder", "nowhere", "secret")
        for diagnostic in load_yaml(tmp_path / f"{name}.yaml")[1]
    ]

    assert said == [
        "folder.yaml: cannot be read: it is a folder",
        "nowhere.yaml: cannot be read: not found",
        "secret.yaml: cannot be read: PermissionError",
    ]


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.stat().st_mode & 0o400 == 0:
            raise PermissionError(path)
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)


# --- one over the other ---------------------------------------------------------------------------------------


def over(folder: Path, under: str, upper: str, *, keeps_null: bool = False) -> Any:
    return deep_merge(good(folder, under), good(folder, upper), keeps_null=lambda _: keeps_null).to_plain()


MERGED: list[tuple[str, str, Any]] = [
    ("a: 1", "b: 2", {"a": 1, "b": 2}),
    ("a: 1", "a: 2", {"a": 2}),
    ("a: {b: 1, c: 2}", "a: {c: 3, d: 4}", {"a": {"b": 1, "c": 3, "d": 4}}),
    ("a: [1, 2]", "a: [3]", {"a": [3]}),
    ("a: [1, 2]", "a: []", {"a": []}),
    ("a: {b: 1}", "a: 2", {"a": 2}),
    ("a: 1", "a: {b: 2}", {"a": {"b": 2}}),
    ("a: {b: 1}", "a: null", {}),
    ("a: {b: 1, c: 2}", "a: {b: null}", {"a": {"c": 2}}),
    ("b: 1", "a: null", {"a": None, "b": 1}),
    ("a: {b: 1}", "a: {}", {"a": {"b": 1}}),
    ("a: null", "a: 1", {"a": 1}),
]


def test_mappings_merge_and_all_else_replaces(tmp_path: Path) -> None:
    found = [(under, upper, over(tmp_path, under, upper)) for under, upper, _ in MERGED]
    assert found == MERGED
    assert over(tmp_path, "a: {b: 1}", "a: {b: null}", keeps_null=True) == {"a": {"b": None}}
