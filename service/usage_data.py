"""Switches off the usage data that libraries send by themselves: nothing leaves the house.

The packages of this project call `switch_off` when they are imported, before any of those libraries is loaded: some read their
switch only then. That is the one exception to the rule that importing does nothing. What a user set to the contrary is
overwritten, because the promise is one of the project.
"""

import os
import sys

# What each library asks the environment for. ONNX Runtime would keep a database of queued events below ~/.cache/Microsoft.
SWITCHES = {
    "BENTOML_DO_NOT_TRACK": "True",
    "ORT_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}

_BENTOML = "bentoml._internal.utils.analytics.usage_stats"


def switch_off() -> None:
    """Set the switches for this process and those that it starts."""
    os.environ.update(SWITCHES)
    bentoml = sys.modules.get(_BENTOML)
    if bentoml is not None:
        # `bentoml serve` asked before it imported the service, and remembers what it was told. It sends nothing until later.
        bentoml.do_not_track.cache_clear()
