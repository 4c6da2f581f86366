"""Storage: CRM sources, and files that are written exactly once. No Airflow in here.

Importing the package is cheap and safe while a DAG file is parsed; import its modules where the work is done.
"""
