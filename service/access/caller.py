"""Who calls."""

from dataclasses import dataclass

from service.access.roles import Role


@dataclass(frozen=True)
class Caller:
    """user_id: the name of a key, or the subject of a token. credential: tells one's several keys apart, and is no secret."""

    user_id: str
    role: Role
    credential: str
