import pytest

from service.model.bundle import ModelBundle
from service.model.errors import BundleNotFound, HashMismatch, ManifestInvalid
from service.model.manifest import HEAD_NAME, MANIFEST_NAME
from tests.support.manifests import write_bundle


def test_an_intact_bundle_opens(tmp_path):
    bundle = ModelBundle.open(write_bundle(tmp_path / "bundle"))
    assert bundle.manifest.version == "1.2.3"
    assert bundle.file(HEAD_NAME).read_bytes() == HEAD_NAME.encode()


def test_one_changed_byte_is_a_hash_mismatch(tmp_path):
    path = write_bundle(tmp_path / "bundle")
    (path / HEAD_NAME).write_bytes(b"H" + HEAD_NAME.encode()[1:])
    with pytest.raises(HashMismatch, match=HEAD_NAME):
        ModelBundle.open(path)


def test_a_missing_file_is_a_hash_mismatch(tmp_path):
    path = write_bundle(tmp_path / "bundle")
    (path / HEAD_NAME).unlink()
    with pytest.raises(HashMismatch, match="missing"):
        ModelBundle.open(path)


def test_no_folder_or_no_manifest_is_bundle_not_found(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(BundleNotFound, match=MANIFEST_NAME):
            ModelBundle.open(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "chest-xray"}', "\u00e9"])
def test_a_malformed_manifest_is_invalid(tmp_path, text):
    path = write_bundle(tmp_path / "bundle")
    (path / MANIFEST_NAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(ManifestInvalid, match="export the model again"):
        ModelBundle.open(path)
