"""State stored about an audience in Airflow, and the rules over it."""
