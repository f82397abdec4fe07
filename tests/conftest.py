"""Shared fixtures: phantom films on disk, a small checkpoint, and the bundle exported from it. No patient's film is used."""

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from export.phantom import phantom_film
from service.film.preprocessing import resize_stretched
from service.model.findings import FINDINGS
from tests.support.databases import KINDS, database_url

if TYPE_CHECKING:
    from service.model.bundle import ModelBundle
    from service.records.store import RecordStore
    from training.network.classifier import ChestXrayNetwork

TINY_ARCHITECTURE = "tf_efficientnet_lite0"
IMAGE_SIZE_PX = 224

# Each split draws from its own seeds, so that no film is in two of them.
SPLIT_SEEDS = {"train": 10_000, "val": 20_000, "test": 30_000}

# Of a data folder, unless a test asks for others: split -> films of each class.
FILMS_PER_CLASS = {"train": 8, "val": 4, "test": 4}

PhantomDataset = Callable[..., Path]
SettledNetwork = Callable[..., "ChestXrayNetwork"]


def phantom_inputs(seeds: range, side_px: int = IMAGE_SIZE_PX) -> tuple[np.ndarray, np.ndarray]:
    """Phantom films as model inputs, uint8 [N, side_px, side_px], and their labels, int [N]; the findings take turns."""
    labels = np.arange(len(seeds)) % len(FINDINGS)
    films = [phantom_film(FINDINGS[label], seed, 128) for label, seed in zip(labels, seeds, strict=True)]
    return np.stack([resize_stretched(film, side_px) for film in films]), labels


@pytest.fixture(scope="session")
def phantom_dataset(tmp_path_factory: pytest.TempPathFactory) -> PhantomDataset:
    """Factory: phantom_dataset(films_per_class={"train": 8, ...}, size_px=128, manifest=False) -> a new data folder.

    It holds {train,val,test}/<class>/<class>_<seed>.png, phantom films whose widths vary a little, so that aspect ratio and
    resolution are not constant. films_per_class: split -> films of each class. manifest: also write manifest.csv (path, split,
    label, source, patient_or_group_id); two sources, every film its own group.
    """

    def make(films_per_class: Mapping[str, int] = FILMS_PER_CLASS, size_px: int = 128, manifest: bool = False) -> Path:
        root = tmp_path_factory.mktemp("phantoms")
        rows = []
        for split, count in films_per_class.items():
            for finding in FINDINGS:
                folder = root / split / finding
                folder.mkdir(parents=True, exist_ok=True)
                for index in range(count):
                    seed = SPLIT_SEEDS[split] + 1_000 * FINDINGS.index(finding) + index
                    film = phantom_film(finding, seed, size_px)
                    film = cv2.resize(film, (size_px + 8 * (index % 4), size_px), interpolation=cv2.INTER_AREA)
                    path = folder / f"{finding.lower()}_{seed}.png"
                    path.write_bytes(cv2.imencode(".png", film)[1].tobytes())
                    rows.append([path.relative_to(root).as_posix(), split, finding.value, f"source{index % 2}", f"group{seed}"])
        if manifest:
            with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow(["path", "split", "label", "source", "patient_or_group_id"])
                writer.writerows(rows)
        return root

    return make


@pytest.fixture(scope="module")
def config_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training configuration that a test module gives as CONFIG, in TOML, as a file."""
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(request.module.CONFIG)
    return path


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Tiny networks gain nothing from more threads, and lose much where other processes compute."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def settled_network() -> SettledNetwork:
    """Factory: settled_network(architecture, hidden=64, side_px=224) -> a seeded random network in evaluation mode.

    Its BatchNorm statistics come from phantoms and noise: untouched ones (mean 0, variance 1) would hide a normalisation that
    is lost on the way, and let the activations of a deep network vanish or explode.
    """
    import torch
    from torch import nn

    from training.network.classifier import build_network

    def make(architecture: str, hidden: int = 64, side_px: int = IMAGE_SIZE_PX) -> "ChestXrayNetwork":
        with torch.random.fork_rng():
            torch.manual_seed(42)
            network = build_network(architecture, hidden=hidden)
            norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
            usual = [norm.momentum for norm in norms]
            for norm in norms:
                norm.momentum = None  # cumulative average over the passes below
            network.train()
            with torch.no_grad():
                for start in (0, 6):
                    films = phantom_inputs(range(start, start + 6), side_px)[0]
                    noise = np.random.default_rng(start).integers(0, 256, (2, *films.shape[1:]), dtype=np.uint8)
                    network(torch.from_numpy(np.concatenate([films, noise])))
            for norm, momentum in zip(norms, usual, strict=True):
                norm.momentum = momentum
        return network.eval()

    return make


@pytest.fixture(scope="session")
def export_data(phantom_dataset: PhantomDataset) -> Path:
    """The folder that the shared bundle is exported with: 30 validation films, and two that training excludes."""
    root = phantom_dataset(films_per_class={"train": 8, "val": 10, "test": 4}, manifest=True)
    normal = root / "val" / "Normal"
    (normal / "zz_copy.png").write_bytes(min(normal.iterdir()).read_bytes())
    (normal / "zz_damaged.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return root


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory, settled_network: SettledNetwork, export_data: Path) -> Path:
    """A full checkpoint: a seeded random backbone, and a head that knows two of three validation films by heart.

    So its answers differ by film, some confident and some wrong, and calibration has something to fit. On other films it is
    no better than chance.
    """
    import torch

    from export.films import read_films
    from service.film.preprocessing import PreprocessSpec
    from training.config_file import config_from_dict
    from training.data.folder import scan_folder
    from training.data.validation import validate_dataset
    from training.network.checkpoint import BEST_NAME, save_checkpoint

    network = settled_network(TINY_ARCHITECTURE)
    optimizer = torch.optim.AdamW(network.head.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=10)
    report = validate_dataset(scan_folder(export_data), threads=2)
    films = read_films([film for film in report.usable if film.split == "val"], PreprocessSpec())
    known = np.arange(len(films.labels)) % 3 != 0
    labels = torch.from_numpy(films.labels[known])
    with torch.no_grad():
        pooled = network.features(network.normalise(torch.from_numpy(films.images[known]))).mean(dim=(2, 3))
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network.head(pooled), labels, label_smoothing=0.1).backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("checkpoint") / BEST_NAME
    weights_file = str(path.parent / "imagenet.pt")  # an absolute path, as a config may hold: the bundle must not repeat it
    config = config_from_dict(
        {
            "model": {"architecture": TINY_ARCHITECTURE, "hidden": 64, "weights": "file", "weights_file": weights_file},
            "data": {"near_duplicate_bits": 3},  # phantoms of one finding resemble each other more than patients do
        }
    )
    save_checkpoint(
        path,
        {
            "epoch": 1,
            "model_state_dict": network.state_dict(),
            "optimizer_state_dict": optimizer.state_dict(),
            "scheduler_state_dict": scheduler.state_dict(),
            "val_f1": 0.5,
            "config": config.as_dict(),
            "class_names": [finding.value for finding in FINDINGS],
            "history": {"train_loss": [1.0], "val_loss": [1.0], "train_f1": [0.5], "val_f1": [0.5]},
            "data_fingerprint": report.data_fingerprint,
            "git_commit": "0" * 40,
        },
    )
    return path


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, export_data: Path) -> Path:
    """A real bundle, exported once per run. Copy the folder before changing anything in it."""
    from export.export import export_bundle

    return export_bundle(tiny_checkpoint, export_data, version="1.0.0", out=tmp_path_factory.mktemp("models")).path


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> "ModelBundle":
    """The shared bundle, opened and verified."""
    from service.model.bundle import ModelBundle

    return ModelBundle.open(bundle_path)


@pytest.fixture(params=KINDS)
def records_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database; the test runs once with SQLite and once with PostgreSQL."""
    with database_url(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def store(records_url: str) -> "Iterator[RecordStore]":
    """The records in an empty database."""
    from service.records.store import RecordStore

    store = RecordStore(records_url)
    store.open()
    yield store
    store.close()
