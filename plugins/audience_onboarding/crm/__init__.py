"""CRM engine: read a list, normalize, validate, hash and deduplicate it, and encode the vendor's CSV.

It imports no Airflow and does no network I/O. Importing this package is cheap, so a DAG file may do it. The engine
(Polars, phonenumbers) is :mod:`audience_onboarding.crm.prepare`, which callers import where they use it.
"""
