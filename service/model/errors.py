"""Errors of bundles, of site profiles, and of names that a caller gives."""

from service.film.errors import ChestXrayError, InputError


class UnknownOperatingPoint(InputError):
    """The operating point is not one of those in the bundle's manifest."""


class UnknownFinding(InputError):
    """The finding to explain is not one of the model's."""


class BundleError(ChestXrayError):
    """The model bundle cannot be trusted."""


class BundleNotFound(BundleError):
    """No bundle at the given path or store tag, or one that cannot be read."""


class ManifestInvalid(BundleError):
    """The manifest is missing, malformed, or of a schema version that this code does not read."""


class HashMismatch(BundleError):
    """A file of the bundle differs from the SHA-256 in its manifest."""


class GoldenMismatch(BundleError):
    """The runtime does not reproduce the outputs recorded at export."""


class ProfileError(BundleError):
    """The site profile cannot be applied; the bundle itself may be whole."""


class ProfileNotFound(ProfileError):
    """No site profile at the given path, or one that cannot be read."""


class ProfileInvalid(ProfileError):
    """The site profile is malformed, or a file of it differs from its SHA-256."""


class ProfileMismatch(ProfileError):
    """The site profile belongs to another bundle."""


class ProfileGoldenMismatch(ProfileError, GoldenMismatch):
    """The runtime does not reproduce the answers recorded at commissioning."""
