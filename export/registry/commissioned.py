"""Whether a release is commissioned for the site that is served now, and with which of its profiles."""

from pathlib import Path

from service.model.bundle import ModelBundle
from service.model.errors import BundleNotFound, ProfileError
from service.model.releases import SITES_NAME, locate_profile, profile_name, sites_dir
from service.model.site_profile import SiteProfile, versions_of
from training.errors import NotCommissioned


def commissioned_profile(models: Path, setting: str | None, bundle: ModelBundle) -> SiteProfile | None:
    """The profile to serve this bundle with: the newest of the site that is commissioned now. None without such a site.

    models: folder of the releases.
    setting: CXR_SITE, if the service has it. Profiles are looked for beside it, and in the folder of the site profiles.

    Raises NotCommissioned if the bundle has none, or only unverified ones while a verified one is served now.
    """
    try:
        served = locate_profile(None, setting, models)
    except BundleNotFound:  # damaged: nobody knows of a site
        return None
    if served is None:
        return None
    current = _opened(served)  # None if it cannot be read: then its folder's name tells the site, and it counts as verified
    site = current.manifest.name if current else (profile_name(served.resolve().name) or (served.name,))[0]
    folders = dict.fromkeys((sites_dir(models).resolve(), served.resolve().parent))
    found = [each for folder in folders for path in versions_of(site, folder) if (each := _opened(path, bundle))]
    found.sort(key=lambda each: each.manifest.version, reverse=True)
    fitting = [each for each in found if each.manifest.verified or (current and not current.manifest.verified)]
    if fitting:
        return fitting[0]
    name = bundle.path.name
    fault = f"has only unverified profiles of {site}" if found else f"is not commissioned for {site}"
    own = [each.path.name for each in found if each.path.parent == sites_dir(models).resolve()]
    unverified = f"`cxr registry promote {SITES_NAME}/{own[0]}` promotes it with that profile, and " if own else ""
    raise NotCommissioned(
        f"{SITES_NAME}/{served.name} is served, and {name} {fault}. Run `cxr commission FOLDER --site {site} "
        f"--bundle {bundle.path}`, then `cxr registry promote {name}`; {unverified}--without-profile promotes it without one."
    )


def _opened(path: Path, bundle: ModelBundle | None = None) -> SiteProfile | None:
    """The profile, unless it is damaged or belongs to another bundle."""
    try:
        profile = SiteProfile.open(path)
        if bundle is not None:
            profile.require_bundle(bundle)
    except ProfileError:
        return None
    return profile
