"""An end for supervisor and worker together. `bentoml serve` starts a supervisor, which starts and restarts the worker."""

import os
import signal
import threading

# Set by the supervisor and inherited by its worker. Not a setting of the operator's, so without the prefix CXR_.
SUPERVISOR_VARIABLE = "CHEST_XRAY_SUPERVISOR"

# After the supervisor was killed, for the films being processed.
_ENDING_SECONDS = 30.0


def become_supervisor() -> None:
    """In the supervisor, before it starts a worker."""
    os.environ[SUPERVISOR_VARIABLE] = str(os.getpid())


def end_with_supervisor() -> None:
    """In a worker: end as by SIGTERM once the supervisor has ended, even if it was killed. In other processes: nothing."""
    supervisor = os.environ.get(SUPERVISOR_VARIABLE)
    if supervisor is not None:
        threading.Thread(target=_end_after, args=(int(supervisor),), name="cxr-supervisor", daemon=True).start()


def _end_after(supervisor: int) -> None:
    while os.getppid() == supervisor:
        threading.Event().wait(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_ENDING_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
