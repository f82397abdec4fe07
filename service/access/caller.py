"""The identity of a caller."""

from dataclasses import dataclass

from service.access.roles import Role


@dataclass(frozen=True)
class Caller:
    """An authenticated caller."""

    user_id: str  # name of the API key, or subject of the token
    role: Role  # what the caller may do
    credential: str  # key:<key_id> or token:<subject>, by which the rate limit counts; a user may have several keys
