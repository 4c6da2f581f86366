#!/bin/sh
# Does what the entrypoint of the official image does with docker-compose.yaml: waits for the database, and for the
# broker if the command is "celery"; migrates and creates the first user if asked to; puts "airflow" before one of its
# own commands.
set -eu

# reachable URL DEFAULT_PORT
reachable() {
    python - "$1" "$2" <<'PYTHON'
import socket
import sys
import time
from urllib.parse import urlsplit

url, port = urlsplit(sys.argv[1]), sys.argv[2]
for left in reversed(range(60)):
    try:
        socket.create_connection((url.hostname, url.port or int(port)), timeout=2).close()
        break
    except OSError as error:
        print(f"{url.hostname}: {error}; {left} tries left", flush=True)
        time.sleep(1)
else:
    sys.exit(1)
PYTHON
}

reachable "$AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" 5432
[ "$1" != celery ] || reachable "$AIRFLOW__CELERY__BROKER_URL" 6379
if [ -n "${_AIRFLOW_DB_MIGRATE:-}" ]; then
    airflow db migrate
fi
if [ -n "${_AIRFLOW_WWW_USER_CREATE:-}" ]; then
    airflow users create --username "$_AIRFLOW_WWW_USER_USERNAME" --password "$_AIRFLOW_WWW_USER_PASSWORD" \
        --firstname Airflow --lastname Admin --email airflowadmin@example.com --role Admin || true
fi
case $1 in
bash | python | airflow) exec "$@" ;;
*) exec airflow "$@" ;;
esac
