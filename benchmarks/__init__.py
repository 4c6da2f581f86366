"""Benchmarks: one command, one JSON file, every figure beside a baseline from the same run."""
