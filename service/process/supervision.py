"""What the processes of one start share: a folder for their metrics, locked while the supervisor lives, and their end.

BentoML gives all servers of a user one folder for metrics, and empties it at each start. The kernel lets go of a process's
locks however the process ends, so that a lock that can be had tells of a process that is gone.
"""

import atexit
import fcntl
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

# Set by the supervisor, inherited by its workers; no setting of the operator's, and so not named CXR_.
FOLDER_VARIABLE = "CHEST_XRAY_START_FOLDER"

# Behind it, the supervisor's process identifier.
_PREFIX = "chest-xray-start-"

# When the supervisor was killed: for films that are being answered. A client that never reads its answer does not get longer.
_ENDING_SECONDS = 30.0

# Before its process identifier, the name of the file that a worker holds the lock of.
_WORKER = "worker-"


# What metrics of a few workers take, and more. Their files are mapped into memory, and a process that finds no room for a page
# of one is killed by the kernel: its worker would be started again, and killed again, for ever.
_ROOM_BYTES = 4 * 1024 * 1024


def make_folder() -> None:
    """Of the supervisor: make this start's folder, which goes with it, and remove those of starts that were killed.

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
    # Under another name until it is locked, or a second start might remove it before.
    draft = Path(tempfile.mkdtemp(prefix=f"new-{_PREFIX}{os.getpid()}-"))
    try:
        with tempfile.TemporaryFile(dir=draft) as room:
            room.write(bytes(_ROOM_BYTES))
        _lock(draft)
        return draft.rename(draft.with_name(draft.name.removeprefix("new-")))
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _remove_if_dead(left: Path) -> None:
    try:
        found = left.lstat()
        # Everybody may write to the folder of temporary files, and may put there what only looks like ours.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or (lock := _lock(left)) is None:
            return
    except FileNotFoundError:  # its start has ended meanwhile
        return
    shutil.rmtree(left, ignore_errors=True)
    os.close(lock)


def join_metrics() -> None:
    """Of a worker, before it defines a metric: keep its values in the start's folder. Elsewhere: nothing."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    Path(folder).mkdir(mode=0o700, exist_ok=True)  # who cleans up temporary files may have taken it away
    own = os.open(Path(folder, f"{_WORKER}{os.getpid()}"), os.O_RDONLY | os.O_CREAT, 0o600)
    fcntl.flock(own, fcntl.LOCK_EX)  # for good, after whoever looks at this moment whether it is free
    mark_process_dead(os.getpid(), folder)  # type: ignore[no-untyped-call]


def forget_dead_workers(folder: str) -> None:
    """Remove what workers that are gone said of themselves: requests in flight, queues. What they counted stays."""
    for worker in Path(folder).glob(f"{_WORKER}*"):
        pid = int(worker.name.removeprefix(_WORKER))
        if pid != os.getpid() and (lock := _lock(worker)) is not None:
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
            os.close(lock)


def end_with_supervisor() -> None:
    """Of a worker: end as by SIGTERM once the supervisor is gone, even if that was killed. Elsewhere: nothing."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is not None:
        threading.Thread(target=_end_after, args=(folder,), name="cxr-supervisor", daemon=True).start()


def _end_after(folder: str) -> None:
    supervisor = int(Path(folder).name.removeprefix(_PREFIX).partition("-")[0])
    with suppress(FileNotFoundError):
        fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_SH)  # is had when the supervisor lets go, and kept
    # A folder that a worker made anew is locked by no supervisor.
    while os.getppid() == supervisor:
        threading.Event().wait(1.0)
    shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_ENDING_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _lock(path: Path) -> int | None:
    """An open descriptor that holds the lock of a file or folder; None if another process holds it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
