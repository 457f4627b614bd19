"""The worker, and the webhooks, as an image: what Coolify builds from the repository, or `make image` by hand."""
