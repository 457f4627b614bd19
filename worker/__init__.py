"""The worker's own process: Prefect's process worker, made to drain, to outlive an absent API and to speak to systemd.

It imports nothing of `deploy` and nothing of `flows`.
"""
