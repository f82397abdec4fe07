"""Runs a module as `python -m` does, and ends as soon as standard input does: with the retraining that holds its other end.

A step that outlived a killed retraining would write into the folder that the next one goes on with.
"""

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """python -m training.retraining.step MODULE [OPTION …]"""
    threading.Thread(target=_end_with_input, daemon=True).start()
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
