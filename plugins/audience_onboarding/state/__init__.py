"""What all platforms share on Airflow's side: load dates, remembered ids, order of loads, failures."""
