"""Films decoded, augmented and batched."""

from functools import partial

import cv2
import numpy as np
import pytest
import torch
from tqdm import tqdm

from export.phantom import phantom_film
from service.film.preprocessing import PreprocessSpec, decode, to_model_input
from service.model.findings import FINDINGS
from training.config import AugmentConfig
from training.data import batches as dataset
from training.data.batches import NO_FINDING_SHOWN, EvaluationFilms, FilmStore, TrainingFilms, batches
from training.data.folder import FilmFile
from training.errors import ConfigError

SPEC = PreprocessSpec()


@pytest.fixture
def real_films(tmp_path):
    out = []
    for index, finding in enumerate(FINDINGS):
        path = tmp_path / f"{finding}.jpg"
        path.write_bytes(cv2.imencode(".jpg", phantom_film(finding, index, 600))[1].tobytes())
        out.append(FilmFile(path, path.name, "train", finding, "phantom", None))
    return out


def test_evaluation_films_are_exactly_what_the_service_sees(real_films):
    store = FilmStore(real_films, SPEC, SPEC.image_size_px, cache=True)
    for position, (image, label) in enumerate(EvaluationFilms(store, [2, 0])[index] for index in range(2)):
        film = real_films[[2, 0][position]]
        expected = to_model_input(decode(film.path.read_bytes(), SPEC), SPEC)
        np.testing.assert_array_equal(image.numpy(), expected)
        assert FINDINGS[int(label)] is film.finding


def test_a_films_augmentation_depends_on_seed_and_position_whatever_the_workers(real_films):
    store = FilmStore(real_films, SPEC, 246, cache=True)
    dataset = TrainingFilms(store, np.array([0, 1, 2, 1]), AugmentConfig(), 224, [42, 3])
    alone = next(iter(batches(dataset, 4)))
    forked = next(iter(batches(dataset, 4, workers=2)))
    torch.testing.assert_close(alone, forked)
    assert alone[2].tolist() == [0, 1, 2, 1]
    assert alone[0].dtype == torch.uint8 and alone[0].shape == (4, 224, 224)
    assert not torch.equal(alone[0][1], alone[0][3]), "the same film twice in an epoch must be changed in two ways"
    later = TrainingFilms(store, np.array([0, 1, 2, 1]), AugmentConfig(), 224, [42, 4])
    assert not torch.equal(later[0][0], alone[0][0])


def test_cached_films_equal_uncached_ones(real_films):
    cached, plain = (FilmStore(real_films, SPEC, 246, cache=cache) for cache in (True, False))
    cached.warm([0, 1, 2], shows_progress=False)
    for index in range(len(real_films)):
        np.testing.assert_array_equal(cached[index], plain[index])
    real_films[0].path.unlink()
    assert cached[0].shape == (246, 246)
    with pytest.raises(FileNotFoundError):
        plain[0]


def test_warming_shows_how_many_films_are_decoded_decodes_none_twice_and_names_one_that_has_gone(
    real_films, capsys, monkeypatch
):
    monkeypatch.setattr(dataset, "tqdm", partial(tqdm, mininterval=0))  # draws every film
    store = FilmStore(real_films, SPEC, 246, cache=True)
    store.warm([0, 2], shows_progress=True)
    assert "decoding" in (bar := capsys.readouterr().err) and "0/2" in bar and "2/2" in bar
    for film in (real_films[0], real_films[2]):
        film.path.unlink()
    store.warm([0, 2], shows_progress=True)
    assert capsys.readouterr().err == "", "nothing was left to decode"
    store.warm([1], shows_progress=False)
    assert capsys.readouterr().err == "", "only the main process shows a bar"
    with pytest.raises(FileNotFoundError, match=real_films[0].path.name):
        FilmStore(real_films, SPEC, 246, cache=True).warm([0], shows_progress=False)


def _middle(film):
    lungs = np.zeros(film.shape, bool)
    lungs[film.shape[0] // 4 : -film.shape[0] // 4, film.shape[1] // 4 : -film.shape[1] // 4] = True
    return lungs


def test_hollow_films_carry_the_label_of_no_finding_and_others_keep_theirs(real_films):
    store = FilmStore(real_films, SPEC, 246, cache=True, outline=_middle)
    order = np.arange(60) % 3
    drawn = TrainingFilms(store, order, AugmentConfig(hollow=0.5, surroundings=0.5), 224, [42, 1])
    labels = [int(drawn[position][1]) for position in range(len(order))]
    kept = [label for label in labels if label != NO_FINDING_SHOWN]
    assert 15 < len(kept) < 45
    assert kept == [store.label(order[at]) for at, label in enumerate(labels) if label != NO_FINDING_SHOWN]


def test_exchanging_needs_a_segmenter(real_films):
    store = FilmStore(real_films, SPEC, 246, cache=True)
    with pytest.raises(ConfigError, match=r"data\.lungs"):
        TrainingFilms(store, np.array([0]), AugmentConfig(hollow=1.0), 224, [42, 1])[0]


def test_lungs_are_outlined_once_a_film_when_films_are_kept(real_films):
    calls = []
    store = FilmStore(real_films, SPEC, 246, cache=True, outline=lambda film: (calls.append(1), _middle(film))[1])
    store.warm([0, 1, 2], shows_progress=False)
    assert len(calls) == 3
    assert store.lungs(1).shape == (246, 246) and len(calls) == 3


def test_small_epochs_see_the_same_crop_at_a_smaller_side(real_films):
    store = FilmStore(real_films, SPEC, 246, cache=True)
    plain = AugmentConfig(horizontal_flip=0, rotation_degrees=0, brightness=0, contrast=0, clahe=0)
    whole = TrainingFilms(store, np.array([0]), plain, 224, [42, 1])[0][0].numpy()
    small = TrainingFilms(store, np.array([0]), plain, 112, [42, 1], films_px=123)[0][0].numpy()
    assert small.shape == (112, 112)
    assert np.corrcoef(cv2.resize(whole, (112, 112), interpolation=cv2.INTER_AREA).ravel(), small.ravel())[0, 1] > 0.95
    judged = EvaluationFilms(FilmStore(real_films, SPEC, 224, cache=True), [0], size_px=112)[0][0]
    assert judged.shape == (112, 112)
