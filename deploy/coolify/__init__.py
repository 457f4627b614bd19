"""Workers in containers that Coolify manages: its API, what is wanted of an application, and the rollout to it."""
