"""`cxr serve`: the HTTP service, run by BentoML."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

# The project's folder, from which BentoML finds the package `service`.
_ROOT = Path(__file__).resolve().parents[2]


def serve(
    host: Annotated[str, typer.Option(help="IP address to listen on; 0.0.0.0 for all addresses.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port to listen on.")] = 3000,
    cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate (PEM); serves HTTPS, TLS 1.3 only.")] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Private key of the certificate (PEM).")] = None,
) -> None:
    """Serve the released model over HTTP, with its web page, until Ctrl-C.

    Settings are environment variables named CXR_…; relative paths in them start at the folder that holds `service/`.

    Example: cxr serve --port 8080
    """
    command = [sys.executable, "-m", "bentoml", "serve", "service.app:ChestXrayService", "--host", host, "--port", str(port)]
    if cert or key:
        # TLS 1.3 only: kPSK leaves TLS 1.2 just the cipher suites with pre-shared keys, which no client has; those of TLS 1.3
        # are always on.
        command += ["--ssl-certfile", _absolute(cert), "--ssl-keyfile", _absolute(key), "--ssl-ciphers", "kPSK"]
    os.chdir(_ROOT)
    os.execv(sys.executable, command)  # noqa: S606 (this process becomes the server, so signals reach it)


def _absolute(path: Path | None) -> str:
    """Empty if not given: the server's own check refuses a certificate or key without its counterpart."""
    return str(path.absolute()) if path else ""
