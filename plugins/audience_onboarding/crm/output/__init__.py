"""Encoding of processed rows into the file that is sent."""
