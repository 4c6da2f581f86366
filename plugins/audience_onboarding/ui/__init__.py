"""The Audiences page: what people look after, told from what Airflow stores already."""
