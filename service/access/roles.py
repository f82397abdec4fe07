"""Roles, and what each may call (REPORT Table 31). What is not named here is for known callers, whatever their role."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
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

# Their links are relative, and would lead elsewhere from a path with a slash at its end.
_PAGES = frozenset({"/", "/docs"})

# /schema.json tells BentoML's own clients what /docs.json tells everybody else's.
PUBLIC = frozenset({"/health", "/metrics", "/docs.json", "/schema.json", *_PAGES, *PROBES})

# All whose path may end in a slash.
_ENDPOINTS = (ROLES_OF.keys() | PUBLIC) - _PAGES

# Files, and nothing else, below these.
PUBLIC_FOLDERS = ("/ui", "/static_content")

UNKNOWN_ENDPOINT = "unknown"

# Below it, /ui would resemble /audit. Comparing takes time, and no path of ours is a third as long as the longest compared.
_LEAST_RESEMBLANCE = 0.7
_LONGEST_COMPARED = 64

# A file's path in them: no dots that climb, nothing that a second decoding could turn into such.
_PLAIN_FILE = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")


def endpoint_of(path: str) -> str:
    """The route that a path means, or UNKNOWN_ENDPOINT: a label of bounded number, whatever strangers ask for.

    One slash at the end of an endpoint's path changes nothing.
    """
    if path in _PAGES:
        return path
    if (plain := path.removesuffix("/")) in _ENDPOINTS:
        return plain
    return next((folder for folder in PUBLIC_FOLDERS if _is_in(folder, path)), UNKNOWN_ENDPOINT)


def nearest_endpoint(path: str) -> str | None:
    """The endpoint whose path resembles this one most; None if none does."""
    plain = re.sub("/+", "/", path[:_LONGEST_COMPARED]).rstrip("/")
    return next(iter(get_close_matches(plain, sorted(_ENDPOINTS | _PAGES), n=1, cutoff=_LEAST_RESEMBLANCE)), None)


def required_roles(path: str) -> frozenset[Role] | None:
    """The roles that may call a path (decoded once, as a server hands it on); None if everybody may."""
    endpoint = endpoint_of(path)
    if endpoint in ROLES_OF:
        return ROLES_OF[endpoint]
    return ANY_ROLE if endpoint == UNKNOWN_ENDPOINT else None


def _is_in(folder: str, path: str) -> bool:
    return path.startswith(folder + "/") and unquote(path) == path and _PLAIN_FILE.fullmatch(path) is not None
