# The floor of a rolling restart: one worker after the other, each through the probe. Arguments: release, user, pool, API.
set -eu
release=/opt/hublab/releases/$1 user=$2 pool=$3 api=$4
for unit in "$release"/host/prefect-worker@*.service; do
    name=$(basename "$unit") number=$(basename "$unit" .service | cut -d@ -f2)
    install -m 0644 "$unit" "/etc/systemd/system/$name"
    systemctl daemon-reload
    systemctl enable --quiet "$name"
    since=$(date -u +%Y-%m-%dT%H:%M:%S+00:00)
    systemctl restart "$name"
    systemd-run --quiet --collect --pipe --wait --uid="$user" --property=LoadCredential=profiles.toml:/etc/hublab/profiles.toml \
        --property=PrivateTmp=yes --property=ProtectSystem=strict --property=ProtectHome=yes --property=NoNewPrivileges=yes \
        --setenv=PREFECT_API_URL="$api" --setenv=PREFECT_HOME=/tmp/prefect --setenv=HOME=/tmp --setenv=PYTHONDONTWRITEBYTECODE=1 \
        /bin/sh -c 'PREFECT_PROFILES_PATH=$CREDENTIALS_DIRECTORY/profiles.toml exec "$@"' sh \
        "$release/venv/bin/python" -m worker.probe --worker "$(hostname)-$number" --pool "$pool" --since "$since" --timeout 120
done
ln -sfn "$release" /opt/hublab/current
