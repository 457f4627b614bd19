# The floor of a no-op: is this host as it must be? Says nothing and ends with 0, or names the first difference.
# Expects from the lines before: RELEASE, USER_NAME, CREDENTIALS, UNITS ("number:sha256:digest …"), API, POOL, AUTH, PYTHON.
set -eu
differs() { echo "differs: $1"; exit 1; }
id "$USER_NAME" >/dev/null 2>&1 || differs user
for folder in /etc/hublab /opt/hublab /opt/hublab/releases /opt/hublab/root /var/lib/hublab; do
    [ "$(stat -c %u:%g:%a $folder 2>/dev/null)" = 0:0:755 ] || differs "$folder"
done
[ "$(cat /etc/hublab/profiles.toml /etc/hublab/environment.json | sha256sum | cut -d' ' -f1)" = "$CREDENTIALS" ] || differs credentials
[ -e "/opt/hublab/releases/$RELEASE/REVISION" ] || differs release
[ "$(readlink /opt/hublab/current)" = "/opt/hublab/releases/$RELEASE" ] || differs current
for entry in $UNITS; do
    number=${entry%%:*}; rest=${entry#*:}; sum=${rest%%:*}; digest=${rest#*:}
    [ "$(sha256sum <"/etc/systemd/system/prefect-worker@$number.service" | cut -d' ' -f1)" = "$sum" ] || differs "unit $number"
    pid=$(systemctl show --property=MainPID --value "prefect-worker@$number")
    [ "$pid" != 0 ] || differs "worker $number"
    tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "HUBLAB_UNIT=$digest" || differs "process of worker $number"
done
online=$("$PYTHON" -I -c '
import base64, json, sys, urllib.request
api, pool, auth = sys.argv[1], sys.argv[2], sys.stdin.readline().strip()
ask = urllib.request.Request(f"{api}/work_pools/{pool}/workers/filter", b"{}", {"Content-Type": "application/json"})
ask.add_header("Authorization", "Basic " + base64.b64encode(auth.encode()).decode())
print(*(item["name"] for item in json.load(urllib.request.urlopen(ask, timeout=10)) if item["status"] == "ONLINE"))
' "$API" "$POOL" <<<"$AUTH")
for entry in $UNITS; do
    case " $online " in *" $(hostname)-${entry%%:*} "*) ;; *) differs "worker ${entry%%:*} is not online" ;; esac
done
