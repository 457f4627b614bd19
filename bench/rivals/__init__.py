"""The same job by other means: a bash script over one ssh, and Ansible."""
