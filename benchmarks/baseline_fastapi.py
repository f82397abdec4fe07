"""The baseline: FastAPI, uvicorn and eager PyTorch, written plainly, as a tutorial would.

The network has the served model's architecture and random weights: a bundle holds no PyTorch backbone, and speed does not
depend on the values. The rest is the usual way: Pillow to RGB, torchvision's transforms, a `def` endpoint in the thread pool.
"""

import io
import os
from pathlib import Path
from typing import Any

import torch
from fastapi import FastAPI, UploadFile
from PIL import Image
from torchvision import transforms

from service.model.bundle import ModelBundle
from service.model.findings import FINDINGS
from training.network.classifier import build_network


def create_app() -> FastAPI:
    """An application with /predict (multipart field `image`) and /readyz, for uvicorn's --factory.

    Environment: BASELINE_BUNDLE, the bundle whose architecture is served; BASELINE_TORCH_THREADS, threads of one model run, if
    not PyTorch's default of one for each core.
    """
    if threads := os.environ.get("BASELINE_TORCH_THREADS"):
        torch.set_num_threads(int(threads))
    manifest = ModelBundle.open(Path(os.environ["BASELINE_BUNDLE"])).manifest
    network = build_network(manifest.architecture, hidden=manifest.head.hidden).eval()
    side_px = manifest.preprocess.image_size_px
    to_input = transforms.Compose(
        [
            transforms.Resize((side_px, side_px)),
            transforms.ToTensor(),
            transforms.Normalize(network.mean.flatten().tolist(), network.std.flatten().tolist()),
        ]
    )
    app = FastAPI()

    @app.get("/readyz")
    def ready() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/predict")
    def predict(image: UploadFile) -> dict[str, Any]:
        film = Image.open(io.BytesIO(image.file.read())).convert("RGB")
        with torch.inference_mode():
            logits = network.head(network.features(to_input(film)[None]).mean(dim=(2, 3)))
            probabilities = torch.softmax(logits, dim=1)[0].tolist()
        by_finding = {finding.value: value for finding, value in zip(FINDINGS, probabilities, strict=True)}
        prediction = max(by_finding, key=by_finding.__getitem__)
        return {"prediction": prediction, "confidence": by_finding[prediction], "probabilities": by_finding}

    return app
