"""Builds the container image, runs it and inspects it: `python -m tests.tools.container --help`.

Needs root on Linux, buildah and debootstrap, but no daemon. The image runs as Kubernetes would run it (as its user, without
capabilities, on a read-only root), but by unshare and chroot. Not checked: namespaces, cgroups and probes of a container
runtime, and the default base image and PyTorch backend where options replace them.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil

from service import __version__
from tests.support.releases import VERSION
from tests.support.server.serving import answers, free_port
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
FILM = ROOT / "tests" / "films" / "phantom.png"
IMAGE = f"localhost/chest-xray-trial:{__version__}"

USER = 1034
START_LIMIT_SECONDS = 120
# Of which the CPU's PyTorch is a half.
LARGEST_IMAGE_BYTES = 2_000_000_000
# Not needed for serving.
NOT_IN_IMAGE = ("gcc", "cc", "g++", "make", "ld", "git", "pip", "pip3", "uv", "pytest", "curl", "wget")
# The application's files in the image; a hospital's own also holds its site profiles.
APPLICATION = {"service", "models", "bentofile.yaml"}
PROFILE_FILES = {"profile.json", "head.safetensors", "golden.npz", "drift_reference.json"}


def main(argv: Sequence[str]) -> int:
    """Exit status 1 if a check fails, 2 if the image cannot be built here."""
    arguments = _parse(argv)
    missing = [program for program in ("buildah", "unshare", "setpriv") if shutil.which(program) is None]
    if os.geteuid() != 0 or missing:
        print(
            f"Needs root, and {', '.join(missing) or 'nothing else'} (Debian: apt-get install buildah debootstrap util-linux)."
        )
        return 2
    report = Report()
    with ExitStack() as stack:
        base = arguments.base or stack.enter_context(_debian_base())
        start = time.monotonic()
        _build(base, arguments.torch, arguments.wheels)
        report.note("build", f"{time.monotonic() - start:.0f} s")
        stack.callback(_buildah, "rmi", "--force", IMAGE)
        root = stack.enter_context(_mounted(IMAGE))
        _look_at_configuration(report)
        _look_at_files(report, root)
        _run(report, root)
    return report.status


class Report:
    """Prints what was found, line by line. status: 1 as soon as a check failed."""

    def __init__(self) -> None:
        self.status = 0

    def check(self, name: str, passed: bool, found: object) -> None:
        """One check, and what was found."""
        self.status |= not passed
        print(f"{'ok  ' if passed else 'FAIL'}  {name:34}  {found}", flush=True)

    def note(self, name: str, found: object) -> None:
        """A value that is not checked."""
        print(f"      {name:34}  {found}", flush=True)


@contextmanager
def _debian_base() -> Iterator[str]:
    """A base image made without a registry: Debian with Python, and this machine's certificates."""
    name = "localhost/chest-xray-trial-base"
    with tempfile.TemporaryDirectory() as folder:
        command = ["debootstrap", "--variant=minbase", "--include=ca-certificates,python3,python3-venv", "bookworm", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for certificate in Path("/usr/local/share/ca-certificates").glob("*.crt"):
            shutil.copy(certificate, Path(folder, "usr/local/share/ca-certificates"))
        subprocess.run(["chroot", folder, "update-ca-certificates"], check=True, stdout=subprocess.DEVNULL)
        container = _buildah("from", "scratch")
        _buildah("copy", "--quiet", container, folder, "/")
        _buildah("commit", "--quiet", "--rm", container, name)
    try:
        yield name
    finally:
        _buildah("rmi", "--force", name)


def _build(base: str, torch: str | None, wheels: Path | None) -> None:
    """`make image` with another base."""
    options = [f"--opt build-arg=BASE_IMAGE={base}", "--opt network=host"]
    if torch:
        options += ["--opt build-arg=TORCH_BACKEND=", f"--opt build-arg=TORCH_VERSION={torch}"]
    if wheels:
        options += ["--opt build-arg=WHEELS=/wheels", f"--opt volume={wheels}:/wheels:ro"]
    command = ["make", "image", f"IMAGE={IMAGE}", "BUILDER=buildah", f"OPTIONS={' '.join(options)}"]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"BUILDAH_ISOLATION": "chroot"})


@contextmanager
def _mounted(image: str) -> Iterator[Path]:
    """The image's files, in a container of buildah's."""
    container = _buildah("from", image)
    try:
        yield Path(_buildah("mount", container))
    finally:
        _buildah("rm", container)


def _look_at_configuration(report: Report) -> None:
    described = json.loads(_buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]
    report.check("user", described["User"] == f"{USER}:{USER}", described["User"])
    report.check("port", list(described["ExposedPorts"]) == ["3000/tcp"], list(described["ExposedPorts"]))
    report.check("health check", "Test" in described.get("Healthcheck", {}), described.get("Healthcheck", {}).get("Test"))
    switches = {"BENTOML_DO_NOT_TRACK=True", "ORT_DISABLE_TELEMETRY=1"}
    report.check("no usage data", switches <= set(described["Env"]), ", ".join(sorted(switches)))


def _look_at_files(report: Report, root: Path) -> None:
    application = root / "home/bentoml/bento/src"
    found = {path.name for path in application.iterdir()}
    report.check("application", found - {"sites"} == APPLICATION, ", ".join(sorted(found)))
    profiles = {path.name for path in application.glob("sites/*/*")}
    report.check("site profiles without films", profiles <= PROFILE_FILES, ", ".join(sorted(profiles)) or "none")
    models = sorted(path.name for path in (application / "models").iterdir())
    others = {name for name in models if not name.startswith("chest-xray-")}
    report.check("models", others <= {"registry.json"}, ", ".join(models))
    folders = ("bin", "usr/bin", "usr/local/bin", "usr/sbin", "app/.venv/bin")
    tools = sorted({name for name in NOT_IN_IMAGE for folder in folders if (root / folder / name).exists()})
    report.check("no compilers, installers, test tools", not tools, ", ".join(tools) or "none")
    report.check("no headers of PyTorch", not list(root.glob("app/.venv/lib/python3*/site-packages/torch/include")), "none")
    writable = [path for path in application.rglob("*") if path.stat().st_uid == USER or path.stat().st_mode & 0o002]
    report.check("its user owns none of its files", not writable, f"{len(writable)} files")
    listed = json.loads((root / "app/sbom.cdx.json").read_text("utf-8"))
    names = {component["name"] for component in listed["components"]}
    installed = len(list(root.glob("app/.venv/lib/python3*/site-packages/*.dist-info")))
    report.check("bill of materials", listed["bomFormat"] == "CycloneDX" and len(names) >= installed, f"{len(names)} packages")
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    report.check("size", size < LARGEST_IMAGE_BYTES, f"{size / 1e6:.0f} MB")
    torch = sum(path.stat().st_size for path in root.glob("app/.venv/lib/python3*/site-packages/torch/**/*") if path.is_file())
    report.note("of that PyTorch", f"{torch / 1e6:.0f} MB")


def _run(report: Report, root: Path) -> None:
    described = json.loads(_buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]
    environment = dict(each.split("=", 1) for each in described["Env"]) | {
        "CXR_DATABASE_URL": "sqlite:////tmp/records.db",
        "HOME": "/home/bentoml",
        "BENTOML_PORT": str(free_port()),
    }
    inside = ["chroot", str(root), "/usr/bin/env", "-i", *(f"{name}={value}" for name, value in environment.items())]
    shown = subprocess.run([*inside, "cxr", "--help"], capture_output=True, text=True, check=False).stdout
    panels = re.findall(r"─ (\w[\w ]+) ─", shown)
    report.check("cxr has the service's commands", panels[1:] == ["Judge films", "Run the service"], ", ".join(panels[1:]))
    address = f"http://127.0.0.1:{environment['BENTOML_PORT']}"
    with _started(root, described["WorkingDir"], described["Entrypoint"], environment) as server:
        start = time.monotonic()
        ready_url = f"{address}/readyz"
        eventually(lambda: answers(ready_url) or server.poll() is not None, patience_seconds=START_LIMIT_SECONDS)
        ready = answers(ready_url)
        report.check("becomes ready", ready, f"{time.monotonic() - start:.1f} s")
        if not ready:
            return
        processes = [each for each in psutil.Process(server.pid).children(recursive=True) if each.uids().real != 0]
        users = {each.uids() for each in processes}
        report.check("runs as", {user.real for user in users} == {USER}, sorted({user.real for user in users}))
        status = Path(f"/proc/{processes[-1].pid}/status").read_text("ascii")
        capabilities = status.partition("CapEff:")[2].split()[0]
        report.check("has no capabilities", int(capabilities, 16) == 0, capabilities)
        report.check("may gain none", "NoNewPrivs:\t1" in status, "no_new_privs")
        mounts = Path(f"/proc/{processes[-1].pid}/mounts").read_text("utf-8").splitlines()
        [at_root] = [line.split()[3] for line in mounts if line.split()[1] == "/"][-1:]
        report.check("read-only root", "ro" in at_root.split(","), at_root.split(",")[0])
        answer = _post(f"{address}/predict")
        report.check("predicts", answer["model_version"] == VERSION, f"{answer['prediction']} by {answer['model_version']}")
        start = time.monotonic()
        explained = _post(f"{address}/predict/explain")["explanation"]
        side = len(explained["grid"])
        report.check("explains (PyTorch)", side == 7, f"{side} x {side} map, first one in {time.monotonic() - start:.1f} s")
        counted = f'cxr_confidence_count{{site="",version="{VERSION}"}} 2.0' in httpx.get(f"{address}/metrics").text
        report.check("counts", counted, "2 films in /metrics")
        memory = sum(each.memory_info().rss for each in processes)
        report.note("memory of all its processes", f"{memory / 1e6:.0f} MB")
        start = time.monotonic()
        psutil.Process(server.pid).children()[0].terminate()
        report.check(
            "ends when told", server.wait(60) == 0, f"status {server.returncode} after {time.monotonic() - start:.1f} s"
        )


@contextmanager
def _started(
    root: Path, folder: str, entrypoint: list[str], environment: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """The entry point as the image's user in a mount namespace: the root bound read-only, /tmp in memory.

    /etc/hosts is this machine's, as a container runtime would give one.
    """
    script = """
        touch "$ROOT/etc/hosts" && mount --bind /etc/hosts "$ROOT/etc/hosts" &&
        mount --rbind "$ROOT" "$ROOT" && mount -o remount,bind,ro "$ROOT" &&
        mount -t proc proc "$ROOT/proc" && mount --rbind /dev "$ROOT/dev" && mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp" &&
        exec chroot "$ROOT" /usr/bin/env -i "$@"
    """
    drop = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
    inside = [f"{name}={value}" for name, value in environment.items()]
    command = [*drop, "--no-new-privs", "/bin/sh", "-c", f'cd {folder} && exec "$@"', "sh", *entrypoint]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", script, "sh", *inside, *command],
            env=os.environ | {"ROOT": str(root)},
            stdout=log,
            stderr=log,
        )
        try:
            yield server
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()
            log.seek(0)
            if b"Traceback" in (printed := log.read()):
                print(printed.decode(errors="replace"))


def _post(url: str) -> dict:
    return httpx.post(url, content=FILM.read_bytes(), timeout=110).raise_for_status().json()


def _buildah(*arguments: str) -> str:
    return subprocess.run(["buildah", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.container", description="Build the image, run it and inspect it."
    )
    parser.add_argument("--base", help="base image to build on (default: one made with debootstrap)")
    parser.add_argument("--torch", help="version of PyTorch instead of the pinned CPU build, for instance 2.13.0+cpu")
    parser.add_argument("--wheels", type=Path, help="folder with that wheel, where PyTorch's own index is out of reach")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
