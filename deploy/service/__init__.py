"""configure: user, directories, credential, and the sandboxed unit."""
