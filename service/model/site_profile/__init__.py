"""What a hospital's own films changed in how one bundle answers: the profile's folder, and its classifier."""

from service.model.site_profile.head import SiteHead
from service.model.site_profile.profile import (
    PROFILE_NAME,
    SITE_GOLDEN_NAME,
    SITE_HEAD_NAME,
    BundleIdentity,
    ProfileManifest,
    Site,
    SiteProfile,
    files_sha256,
    versions_of,
)

__all__ = [
    "PROFILE_NAME",
    "SITE_GOLDEN_NAME",
    "SITE_HEAD_NAME",
    "BundleIdentity",
    "ProfileManifest",
    "Site",
    "SiteHead",
    "SiteProfile",
    "files_sha256",
    "versions_of",
]
