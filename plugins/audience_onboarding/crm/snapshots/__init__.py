"""Snapshots of audience members and their differences."""
