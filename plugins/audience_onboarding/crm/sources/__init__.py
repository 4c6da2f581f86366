"""Readers of customer lists."""
