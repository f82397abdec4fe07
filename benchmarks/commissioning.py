"""What commissioning is worth in hospitals of a data folder: `python -m benchmarks.commissioning DATA --source sakha`.

A source says something of a hospital never seen only if the bundle was trained without it.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from service.film.preprocessing import decode, to_model_input
from service.model.bundle import ModelBundle
from service.model.decision import unusual_aspects
from service.model.findings import FINDINGS
from service.model.observer import Observer
from service.model.predictor import Predictor
from service.model.releases import locate_bundle
from training.commissioning.cases import SiteFilms
from training.commissioning.trial import attempts, trials_table
from training.data.folder import FilmFile, scan_folder


def read_site(bundle: ModelBundle, films: Sequence[FilmFile]) -> SiteFilms:
    """Decode films, and run them through the bundle one by one, as the service does."""
    predictor, observer, manifest = Predictor.from_bundle(bundle), Observer.from_bundle(bundle), bundle.manifest
    images, logits, embeddings, observed = [], [], [], []
    for film in tqdm(films, desc="Reading films", unit="film"):
        radiograph = decode(film.path.read_bytes(), manifest.preprocess)
        image = to_model_input(radiograph, manifest.preprocess)
        outputs = predictor.predict(image[None], ("logits", "embedding"))
        images.append(image)
        logits.append(outputs["logits"][0])
        embeddings.append(outputs["embedding"][0])
        observed.append(observer.observe(radiograph, image, outputs["embedding"][0]))
    without_score = [replace(each, outlier_score=None) for each in observed]
    return SiteFilms(
        labels=np.array([FINDINGS.index(film.finding) for film in films], np.int64),
        logits=np.stack(logits).astype(np.float64),
        embeddings=np.stack(embeddings),
        patients=tuple(film.group or film.relative for film in films),
        thumbnails=np.stack(images),
        outlier_scores=np.array([each.outlier_score or 0.0 for each in observed]),
        unusual_images=np.array(
            [bool(manifest.outliers and unusual_aspects(each, manifest.outliers)) for each in without_score]
        ),
    )


def main() -> None:
    """Print the table of all sources and numbers of films."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="data folder with manifest.csv")
    parser.add_argument("--source", action="append", required=True, help="of manifest.csv; may be repeated")
    parser.add_argument("--bundle", help="default: the release that is served")
    parser.add_argument("--films", type=int, action="append", help="films given of each class; default: 20, 40 and 80")
    parser.add_argument("--draws", type=int, default=20)
    arguments = parser.parse_args()
    bundle = ModelBundle.open(locate_bundle(arguments.bundle))
    every = scan_folder(arguments.data)
    trials = []
    for source in arguments.source:
        site = read_site(bundle, [film for film in every if film.source == source])
        for per_class in arguments.films or (20, 40, 80):
            found = attempts(source, site, bundle.manifest, per_class, arguments.draws)
            trials += tqdm(found, desc=f"{source}, {per_class} films a class", total=arguments.draws, unit="draw")
    print(trials_table(trials))


if __name__ == "__main__":
    main()
