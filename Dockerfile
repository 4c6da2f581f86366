# The image of every Airflow component in docker-compose.yaml.
#
# The slim variant has Airflow without the many providers of the regular one, whose own pins would argue with ours;
# what is needed comes from requirements.lock: the same versions that the tests run on.
ARG AIRFLOW_IMAGE=apache/airflow:slim-3.3.2-python3.12
FROM ${AIRFLOW_IMAGE} AS airflow

COPY --chown=airflow:root requirements.txt requirements.lock /opt/airflow/
RUN pip install --no-cache-dir --requirement /opt/airflow/requirements.txt --constraint /opt/airflow/requirements.lock

COPY --chown=airflow:root pyproject.toml README.md LICENSE /opt/airflow/
COPY --chown=airflow:root plugins /opt/airflow/plugins
# Editable, because Airflow needs an installed distribution to learn the connection types, and its plugin loader looks
# into this folder: there is no second copy of the package.
RUN pip install --no-cache-dir --constraint /opt/airflow/requirements.lock --editable "/opt/airflow[distributed]" \
    && pip check

COPY --chown=airflow:root dags /opt/airflow/dags
# Each task is a process of its own, which would compile it all anew where the user may not write beside it.
RUN python -m compileall -q /opt/airflow/plugins /opt/airflow/dags
COPY --chown=airflow:root include /opt/airflow/include

# The simulated vendors and S3: what they need has no place in the image that runs for real.
FROM airflow AS sandbox
RUN pip install --no-cache-dir --constraint /opt/airflow/requirements.lock --editable "/opt/airflow[sandbox]"
ENTRYPOINT ["python", "/opt/airflow/include/sandbox"]
CMD ["--host", "0.0.0.0", "--port", "8100", "--s3-port", "8101"]

# Last, so that it is what `docker build` makes without --target.
FROM airflow
