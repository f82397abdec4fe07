"""Roles, and what each may call (REPORT Table 31). What is not named here is for known callers, whatever their role."""

import re
from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import unquote


class Role(StrEnum):
    """admin: everything. clinician: films, feedback, incidents. audit: the audit log, to read."""

    ADMIN = "admin"
    CLINICIAN = "clinician"
    AUDIT = "audit"


ANY_ROLE = frozenset(Role)
_CLINICIANS = frozenset({Role.ADMIN, Role.CLINICIAN})

ROLES_OF: Mapping[str, frozenset[Role]] = {
    "/predict": _CLINICIANS,
    "/predict/batch": _CLINICIANS,
    "/predict/explain": _CLINICIANS,
    "/feedback": _CLINICIANS,
    "/incidents": _CLINICIANS,
    "/audit": frozenset({Role.ADMIN, Role.AUDIT}),
    "/model/info": ANY_ROLE,
    "/model/reload": frozenset({Role.ADMIN}),
}

# The kubelet asks these, from an address of its own, and is told nothing but yes or no.
PROBES = frozenset({"/livez", "/readyz", "/healthz"})

PUBLIC = frozenset({"/", "/health", "/metrics", "/docs", "/docs.json", *PROBES})

# Files, and nothing else, below these.
_PUBLIC_FOLDERS = ("/ui", "/static_content")

UNKNOWN_ENDPOINT = "unknown"

# A file's path in them: no dots that climb, nothing that a second decoding could turn into such.
_PLAIN_FILE = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")


def endpoint_of(path: str) -> str:
    """The route that a path means, or UNKNOWN_ENDPOINT: a label of bounded number, whatever strangers ask for."""
    plain = _without_trailing_slash(path)
    if plain in ROLES_OF or plain in PUBLIC:
        return plain
    return next((folder for folder in _PUBLIC_FOLDERS if _is_in(folder, path)), UNKNOWN_ENDPOINT)


def required_roles(path: str) -> frozenset[Role] | None:
    """The roles that may call a path (decoded once, as a server hands it on); None if everybody may."""
    endpoint = endpoint_of(path)
    if endpoint in ROLES_OF:
        return ROLES_OF[endpoint]
    return ANY_ROLE if endpoint == UNKNOWN_ENDPOINT else None


def _without_trailing_slash(path: str) -> str:
    # As the router does, which answers /predict/ with /predict.
    return path[:-1] if len(path) > 2 and path.endswith("/") else path


def _is_in(folder: str, path: str) -> bool:
    return path.startswith(folder + "/") and unquote(path) == path and _PLAIN_FILE.fullmatch(path) is not None
