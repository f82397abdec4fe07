"""The bundles of the repository: the one that is served, and the release before it."""

from service.model.releases.folders import MODELS_DIR, releases

RELEASED, FORMER = releases(MODELS_DIR)[:2]
VERSION = RELEASED.name.rpartition("-")[2]
