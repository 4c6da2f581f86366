"""Normalization and validation of identifiers."""
