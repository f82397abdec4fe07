"""Find the bundle to serve, and make it ready: verified, opened, and proven on its golden inputs."""

from pathlib import Path

from service.contract.errors import BundleNotFound
from service.contract.manifest import MANIFEST_NAME, ModelBundle
from service.predictor import Predictor

# Released bundles lie beside the service package.
MODELS_DIR = Path(__file__).resolve().parent.parent / "models"


def load_predictor(bundle: ModelBundle, threads: int) -> Predictor:
    """Open the bundle's graph and replay its golden inputs. Raises BundleError."""
    predictor = Predictor.from_bundle(bundle, threads)
    predictor.replay_golden(bundle)
    return predictor


def locate_bundle(setting: str | None, models_dir: Path = MODELS_DIR) -> Path:
    """The folder that a `bundle` setting means: a path, a store tag (name:version), or if None the newest release.

    Raises BundleNotFound.
    """
    if setting is None:
        return newest_release(models_dir)
    path = Path(setting).expanduser()
    if path.is_dir():
        return path
    if ":" not in setting:
        raise BundleNotFound(f"No bundle folder at {path}; give a folder or a tag of BentoML's model store, name:version.")
    # Not at import: it takes two seconds and configures logging, and evaluation only asks for the newest release.
    import bentoml
    from bentoml.exceptions import BentoMLException

    try:
        return Path(bentoml.models.get(setting).path)
    except (BentoMLException, ValueError) as fault:
        raise BundleNotFound(
            f"{setting} is neither a folder nor in BentoML's model store; see `bentoml models list`."
        ) from fault


def newest_release(models_dir: Path) -> Path:
    """The bundle of the highest version among the folders <name>-<major>.<minor>.<patch>. Raises BundleNotFound."""
    releases = {
        version: manifest.parent
        for manifest in models_dir.glob(f"*-*.*.*/{MANIFEST_NAME}")
        if (version := _version_of(manifest.parent.name)) is not None
    }
    if not releases:
        raise BundleNotFound(f"No released bundle <name>-<version> in {models_dir}; export one, or set CXR_BUNDLE.")
    return releases[max(releases)]


def _version_of(folder_name: str) -> tuple[int, int, int] | None:
    numbers = folder_name.rpartition("-")[2].split(".")
    if len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
        return None
    major, minor, patch = map(int, numbers)
    return major, minor, patch
