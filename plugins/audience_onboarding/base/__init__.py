"""What the Airflow classes of all platforms are built on, module by module as in a platform's own folder."""
