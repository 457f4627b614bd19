"""Turns a Debian host into a hardened Prefect worker host; runs on the operator's machine, over SSH."""
