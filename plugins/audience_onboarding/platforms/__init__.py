"""Audience platforms, one package per vendor."""
