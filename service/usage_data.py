"""Switches off the usage data that libraries send by themselves.

The packages of this project call `switch_off` when they are imported, before these libraries are loaded, because some read
their switch only then. It is the one exception to the rule that importing does nothing. A user's settings to the contrary are
overwritten: the project promises to send no usage data.
"""

import os
import sys

# Environment variables that the libraries read. Without its variable, ONNX Runtime keeps a database of queued events below
# ~/.cache/Microsoft.
SWITCHES = {
    "BENTOML_DO_NOT_TRACK": "True",
    "ORT_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}

_BENTOML = "bentoml._internal.utils.analytics.usage_stats"


def switch_off() -> None:
    """Set the switches for this process and the processes that it starts."""
    os.environ.update(SWITCHES)
    bentoml = sys.modules.get(_BENTOML)
    if bentoml is not None:
        # `bentoml serve` reads its switch before it imports the service, and caches it; it sends the first event later.
        bentoml.do_not_track.cache_clear()
