"""Ends the worker with its supervisor. `bentoml serve` starts a supervisor, which starts and restarts the worker."""

import os
import signal
import threading
from time import sleep

# Process ID of the supervisor, which its worker inherits. No setting of the operator's, so without the prefix CXR_.
SUPERVISOR_VARIABLE = "CHEST_XRAY_SUPERVISOR"

# Time that a worker gets to finish films after its supervisor has ended; then it is killed.
_ENDING_SECONDS = 30.0


def become_supervisor() -> None:
    """Make this process known to the workers that it will start."""
    os.environ[SUPERVISOR_VARIABLE] = str(os.getpid())


def end_with_supervisor() -> None:
    """In a worker: end as by SIGTERM once the supervisor has ended, even if it was killed. In other processes: nothing."""
    supervisor = os.environ.get(SUPERVISOR_VARIABLE)
    if supervisor is not None:
        threading.Thread(target=_end_after, args=(int(supervisor),), name="cxr-supervisor", daemon=True).start()


def _end_after(supervisor: int) -> None:
    while os.getppid() == supervisor:
        sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
    sleep(_ENDING_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
