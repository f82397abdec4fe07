"""The settings table of docs/operations.md, made of the descriptions in service/settings.py: `make docs` writes it."""

import re
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from service.settings import DEFAULT_DATABASE, PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "operations.md"
_TABLE = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- end of settings -->)", re.DOTALL)


def settings_table() -> str:
    """One row a setting: variable, default, description."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows]) + "\n"


def with_table(document: str) -> str:
    """The document with the table of now between its two marks."""
    return _TABLE.sub(lambda _: settings_table(), document)


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if field.default_factory is not None or value is None or value == ():
        return ""  # the description says what holds then
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text.replace(str(DEFAULT_DATABASE), '…/records/chest-xray.db')}`"


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text("utf-8")), "utf-8")
