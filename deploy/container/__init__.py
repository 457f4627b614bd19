"""The worker, and the webhooks, as an image: what Coolify builds from the repository, or `./hublab image` by hand."""
