"""Audiences page: all audiences, read from the data that Airflow already stores."""
