# Between two first deploys: the host is bare again.
systemctl stop 'prefect-worker@*.service'
rm -rf /etc/systemd/system/prefect-worker@*.service /etc/systemd/system/*.wants/prefect-worker@*.service
systemctl daemon-reload
rm -rf /opt/hublab /etc/hublab /var/lib/hublab
for user in $(getent passwd | grep -o '^hublab-[^:]*') hublab; do userdel "$user" 2>/dev/null; done
exit 0
