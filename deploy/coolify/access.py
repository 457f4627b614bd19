"""Where Coolify is, and what it is asked with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.secret import Secret


@dataclass(frozen=True)
class Coolify:
    """Where Coolify is, and the token by which it is asked; `image`: name and tag, for applications that run one."""

    url: str
    token: Secret
    image: tuple[str, str] = ("", "")
