"""Imports before a fork: what they prepare, and what they do when one fails. See also test_imports.py."""

from __future__ import annotations

import logging

import pytest

from audience_onboarding import preload
from audience_onboarding.crm.identifiers import phone_grammar


def test_the_numbers_of_the_countries_served_are_worked_out() -> None:
    preload.preload()
    before = phone_grammar.international_patterns.cache_info().misses
    for country in phone_grammar.COUNTRIES_SERVED:
        phone_grammar.international_patterns(phone_grammar.calling_code(country))
    assert phone_grammar.international_patterns.cache_info().misses == before


def test_a_failed_import_does_not_stop_the_component(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(preload, "MODULES", ("audience_onboarding.no_such_module",))
    with caplog.at_level(logging.INFO):
        preload.preload()
    assert "Preload failed" in caplog.text
    assert "no_such_module" in caplog.text
