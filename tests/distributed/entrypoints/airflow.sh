#!/bin/sh
# What the entrypoint of the official image does with what docker-compose.yaml gives it: wait for the database, and for
# the broker where the command needs it; migrate and create the first user where told to; put "airflow" before one of
# its own commands.
set -eu

# reachable HOST PORT NAME
reachable() {
    python - "$1" "$2" "$3" <<'PYTHON'
import socket
import sys
import time

host, port, name = sys.argv[1:]
for left in reversed(range(60)):
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        break
    except OSError as error:
        print(f"{name} at {host}:{port}: {error}; {left} tries left", flush=True)
        time.sleep(1)
else:
    sys.exit(1)
PYTHON
}

# address URL DEFAULT_PORT, printed as "HOST PORT"
address() {
    python -c 'import sys; from urllib.parse import urlsplit
url = urlsplit(sys.argv[1].partition("+")[2] if sys.argv[1].startswith("db+") else sys.argv[1])
print(url.hostname, url.port or sys.argv[2])' "$1" "$2"
}

# shellcheck disable=SC2046 # two words
reachable $(address "$AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" 5432) database
if [ "$1" = celery ]; then
    # shellcheck disable=SC2046
    reachable $(address "$AIRFLOW__CELERY__BROKER_URL" 6379) broker
fi
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
