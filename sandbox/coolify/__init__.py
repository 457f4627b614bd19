"""A Docker daemon of the sandbox's own, for containers as Coolify runs them, and the base of their images."""
