"""Prefect's server, a proxy that misbehaves and workers as processes on loopback, with no machine: needs no root."""
