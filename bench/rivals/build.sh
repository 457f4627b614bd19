# The floor of a build: an archive with wheels, lock, code and units arrives on standard input.
# Arguments: release, interpreter, user.
set -eu
release=/opt/hublab/releases/$1 python=$2 user=$3
umask 022
for name in "$user" "$user-worker-1" "$user-worker-2" "$user-worker-3"; do
    id "$name" >/dev/null 2>&1 || useradd --system --home-dir / --no-create-home --shell /usr/sbin/nologin "$name"
done
install -d -m 0755 /etc/hublab /opt/hublab /opt/hublab/releases /opt/hublab/root /var/lib/hublab "$release"
tar x -C "$release"
for name in profiles.toml environment.json; do
    install -m 0600 "$release/host/$name" "/etc/hublab/$name"
    rm "$release/host/$name"
done
"$python" -I -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$release"/wheels/uv-*.whl "$release/.uv"
uv=$(echo "$release"/.uv/uv-*.data/scripts/uv)
chmod 700 "$uv"
"$uv" venv --quiet --no-config --no-project --python "$python" "$release/venv"
"$uv" pip sync --quiet --no-cache --no-config --link-mode copy --offline --no-index --find-links "$release/wheels" \
    --require-hashes --compile-bytecode --python "$release/venv/bin/python" "$release/requirements.lock"
cp "$release/host/hublab.pth" "$release"/venv/lib/python3*/site-packages/
"$release/venv/bin/python" -m compileall -q "$release/worker" "$release/flows"
rm -rf "$release/.uv" "$release/wheels"
chmod -R a-w,a+rX "$release"
sync
touch "$release/REVISION"
