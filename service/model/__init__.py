"""A bundle on disk -> an answer in memory, without HTTP and records: `load_model().predict("film.dcm")`.

Importing this package loads nothing; the names below load what they need.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.model.model import Explanation, Model, Prediction, load_model

__all__ = ["Explanation", "Model", "Prediction", "load_model"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from service.model import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__} has no attribute {name!r}")
