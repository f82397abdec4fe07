"""The server to compare with: FastAPI, uvicorn and eager PyTorch, written plainly, as a tutorial would.

The network has the served model's architecture and random weights: a bundle holds no PyTorch backbone, and speed does not
depend on the values. The rest is the usual way: Pillow to RGB, torchvision's transforms, a `def` endpoint in the thread pool.
"""

import argparse
import io
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image
from torchvision import transforms

from service.model.bundle import ModelBundle
from service.model.findings import FINDINGS
from service.model.manifest import ModelManifest
from training.network.classifier import build_network


def create_app(manifest: ModelManifest) -> FastAPI:
    """An application with /predict (multipart field `image`) and /readyz, for a network of the manifest's shape."""
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


def main() -> int:
    """Serve with one worker until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="the bundle whose architecture is served")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--torch-threads", type=int, help="threads of one model run; PyTorch's default is one for each core")
    arguments = parser.parse_args()
    if arguments.torch_threads is not None:
        torch.set_num_threads(arguments.torch_threads)
    # No access log, as in the service that it is compared with.
    app = create_app(ModelBundle.open(arguments.bundle).manifest)
    uvicorn.run(app, port=arguments.port, access_log=False, log_level="warning")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
