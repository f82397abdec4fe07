import hashlib

from training.retraining.confirmed import films_in, read_labels


def test_of_a_film_that_was_reported_twice_the_last_label_counts(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image_sha256,label,request_id\naa,Normal,1\nbb,Normal,2\naa,Pneumonia,3\n")
    assert read_labels(path) == {"aa": "Pneumonia", "bb": "Normal"}


def test_films_are_found_behind_links_to_folders(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.png").write_bytes(b"a")
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "2026").symlink_to(tmp_path / "disk")
    digest = hashlib.sha256(b"a").hexdigest()
    assert films_in(archive, {digest}) == ({digest: archive / "2026" / "a.png"}, [])
