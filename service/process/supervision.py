"""Supervisor and worker processes of one server: a folder for their metrics, and an end for all of them together.

`bentoml serve` starts a supervisor, which starts and restarts the worker. BentoML keeps the metrics of all servers of a user in
one folder and empties it at each start; so each server here has a folder of its own, locked while its supervisor lives.
"""

import atexit
import os
import shutil
import signal
import stat
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

from service.errors import SettingsError
from service.files import lock

# Set by the supervisor and inherited by its workers. Not a setting of the operator's, so without the prefix CXR_.
FOLDER_VARIABLE = "CHEST_XRAY_METRICS_FOLDER"

# Followed by the supervisor's process identifier.
_PREFIX = "chest-xray-metrics-"

# Followed by a worker's process identifier: the file whose lock the worker holds.
_WORKER = "worker-"

# After the supervisor was killed, for the films being processed.
_ENDING_SECONDS = 30.0

# More than the metrics of a few workers take. Their files are mapped into memory: without room on the disk the kernel kills the
# worker, and the supervisor would start it again for ever.
_ROOM_BYTES = 4 * 1024 * 1024


def make_metrics_folder() -> None:
    """In the supervisor: make the server's folder, which is removed at exit, and remove those of killed servers.

    Raises SettingsError.
    """
    try:
        folder = _locked_folder()
    except OSError as fault:
        reason = fault.strerror or fault
        raise SettingsError(f"The folder of temporary files (TMPDIR) cannot hold the metrics: {reason}.") from fault
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[FOLDER_VARIABLE] = str(folder)


def _locked_folder() -> Path:
    """Raises OSError."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        _remove_if_dead(left)
    # Under another name until it is locked: another server's start might remove it before.
    draft = Path(tempfile.mkdtemp(prefix=f"new-{_PREFIX}{os.getpid()}-"))
    try:
        with tempfile.TemporaryFile(dir=draft) as room:
            room.write(bytes(_ROOM_BYTES))
        lock(draft)
        return draft.rename(draft.with_name(draft.name.removeprefix("new-")))
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _remove_if_dead(left: Path) -> None:
    try:
        found = left.lstat()
        # Every user may write to the folder of temporary files, and put something there that only looks like ours.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or (held := lock(left, wait=False)) is None:
            return
    except FileNotFoundError:  # its server has ended meanwhile
        return
    shutil.rmtree(left, ignore_errors=True)
    os.close(held)


def join_metrics_folder() -> None:
    """In a worker, before it defines a metric: keep its values in the server's folder. In other processes: nothing."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    Path(folder).mkdir(mode=0o700, exist_ok=True)  # a cleaner of temporary files may have removed it
    own = Path(folder, f"{_WORKER}{os.getpid()}")
    own.touch(0o600)
    lock(own)  # for as long as this process lives; waits for a process that looks just now whether it is free
    mark_process_dead(os.getpid(), folder)  # type: ignore[no-untyped-call]


def forget_dead_workers(folder: str) -> None:
    """Remove the gauges of workers that have died (requests in flight, queue length); their counters stay."""
    for worker in Path(folder).glob(f"{_WORKER}*"):
        pid = int(worker.name.removeprefix(_WORKER))
        if pid != os.getpid() and (held := lock(worker, wait=False)) is not None:
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
            os.close(held)


def end_with_supervisor() -> None:
    """In a worker: end as by SIGTERM once the supervisor has ended, even if it was killed. In other processes: nothing."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is not None:
        threading.Thread(target=_end_after, args=(folder,), name="cxr-supervisor", daemon=True).start()


def _end_after(folder: str) -> None:
    supervisor = int(Path(folder).name.removeprefix(_PREFIX).partition("-")[0])
    with suppress(FileNotFoundError):
        lock(Path(folder), shared=True)  # waits until the supervisor releases it
    # A folder that a worker had to make anew is locked by no supervisor.
    while os.getppid() == supervisor:
        threading.Event().wait(1.0)
    shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_ENDING_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
