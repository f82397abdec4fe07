from training.retraining.confirmed import read_labels


def test_of_a_film_that_was_reported_twice_the_last_label_counts(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image_sha256,label,request_id\naa,Normal,1\nbb,Normal,2\naa,Pneumonia,3\n")
    assert read_labels(path) == {"aa": "Pneumonia", "bb": "Normal"}
