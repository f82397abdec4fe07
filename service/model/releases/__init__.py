"""Which bundle to serve, and with which site profile: releases in a folder, the registry's choice, BentoML's model store."""

from service.model.releases.choice import (
    STATE_NAME,
    LogEntry,
    RegistryState,
    Served,
    ServingChoice,
    read_choice,
    read_state,
    state_path,
)
from service.model.releases.folders import MODELS_DIR, SITES_NAME, profile_name, releases, sites_dir, version_of
from service.model.releases.selection import (
    NO_PROFILE,
    Candidate,
    candidates,
    first_trusted,
    locate_bundle,
    locate_profile,
)

__all__ = [
    "MODELS_DIR",
    "NO_PROFILE",
    "SITES_NAME",
    "STATE_NAME",
    "Candidate",
    "LogEntry",
    "RegistryState",
    "Served",
    "ServingChoice",
    "candidates",
    "first_trusted",
    "locate_bundle",
    "locate_profile",
    "profile_name",
    "read_choice",
    "read_state",
    "releases",
    "sites_dir",
    "state_path",
    "version_of",
]
