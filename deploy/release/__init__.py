"""install: an immutable release from requirements.lock, hashes checked, uvloop shut out."""
