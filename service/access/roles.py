"""Roles, which endpoints each may call (REPORT Table 31), and which are public. Unknown paths need any role, and get a 404."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum


class Role(StrEnum):
    """What a caller may do.

    admin: everything.
    clinician: films, feedback, incidents.
    audit: read the audit log.
    """

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

# The kubelet calls them from an address outside CXR_ALLOWED_NETWORKS. They answer yes or no only.
PROBES = frozenset({"/livez", "/readyz", "/healthz"})

# Their links are relative, and would break under a path with a trailing slash.
_PAGES = frozenset({"/", "/docs"})

# /schema.json is for BentoML's own clients, /docs.json for all others.
PUBLIC = frozenset({"/health", "/metrics", "/docs.json", "/schema.json", *_PAGES, *PROBES})

# Paths that may have a trailing slash.
_ENDPOINTS = (ROLES_OF.keys() | PUBLIC) - _PAGES

# Static files.
PUBLIC_FOLDERS = ("/ui", "/static_content")

UNKNOWN_ENDPOINT = "unknown"

# With a lower cutoff, /ui would resemble /audit. Long paths are cut: comparing them takes time, and no endpoint is as long.
_LEAST_RESEMBLANCE = 0.7
_LONGEST_COMPARED = 64

# The path of a static file: no parent folders, and nothing that a second decoding could turn into one.
_PLAIN_FILE = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")


def endpoint_of(path: str) -> str:
    """The endpoint of a path, with or without a trailing slash, or UNKNOWN_ENDPOINT.

    Fit for a metric's label: the number of endpoints is fixed, whatever clients send.
    """
    if path in _PAGES:
        return path
    if (plain := path.removesuffix("/")) in _ENDPOINTS:
        return plain
    return next((folder for folder in PUBLIC_FOLDERS if _is_in(folder, path)), UNKNOWN_ENDPOINT)


def nearest_endpoint(path: str) -> str | None:
    """The endpoint with the most similar path; None if none is similar."""
    plain = re.sub("/+", "/", path[:_LONGEST_COMPARED]).rstrip("/")
    return next(iter(get_close_matches(plain, sorted(_ENDPOINTS | _PAGES), n=1, cutoff=_LEAST_RESEMBLANCE)), None)


def required_roles(path: str) -> frozenset[Role] | None:
    """The roles that may call a path, as the server passes it on (decoded once); None if everybody may."""
    endpoint = endpoint_of(path)
    if endpoint in ROLES_OF:
        return ROLES_OF[endpoint]
    return ANY_ROLE if endpoint == UNKNOWN_ENDPOINT else None


def _is_in(folder: str, path: str) -> bool:
    return path.startswith(folder + "/") and _PLAIN_FILE.fullmatch(path) is not None
