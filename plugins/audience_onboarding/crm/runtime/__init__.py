"""Threads, spill files and deduplication of the engine."""
