# Between two first deploys: the host is bare again.
systemctl stop 'prefect-worker@*.service'
rm -rf /etc/systemd/system/prefect-worker@*.service /etc/systemd/system/*.wants/prefect-worker@*.service
systemctl daemon-reload
rm -rf /opt/hublab /etc/hublab /var/lib/hublab
userdel hublab 2>/dev/null
exit 0
