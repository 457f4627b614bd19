"""A `.env`, read and written, the same for all who play the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotenv import dotenv_values

from sandbox.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read(path: Path) -> dict[str, str]:
    """Its settings; `$` in a value is a `$`."""
    return {key: value or "" for key, value in dotenv_values(path, interpolate=False).items()}


def write(path: Path, values: Mapping[str, object]) -> Path:
    """Write the settings, each as it is, for its owner alone; its path."""
    write_whole(path, "".join(f"{key}={value}\n" for key, value in values.items()), mode=0o600)
    return path
