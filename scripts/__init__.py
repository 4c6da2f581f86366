"""Tools of the repository: the demo, the local stack behind it and behind the end-to-end tests, sample data."""
