"""Base classes of the platforms' Airflow classes, and the Airflow machinery that they use."""
