"""Option types and the record store, which several commands share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from service.records.store import RecordStore


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as fault:
        raise typer.BadParameter(f"{text!r} is not a time such as 2026-11-23T08:00:00Z") from fault
    if moment.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no time zone; add Z for UTC")
    return moment


def _time(meaning: str) -> Any:
    return typer.Option(parser=_moment, metavar="TIME", help=f"{meaning}, for example 2026-11-23T08:00:00Z.")


Since = Annotated[datetime | None, _time("From this time on")]
Until = Annotated[datetime | None, _time("Before this time")]

_BUNDLE_HELP = "Bundle: a folder, or a tag of BentoML's model store. Default: the release that is served."
Bundle = Annotated[str | None, typer.Option(metavar="BUNDLE", help=_BUNDLE_HELP)]
_SITE_HELP = "Site profile of the bundle, or none. Default: the one that was chosen with the release; none with --bundle."
SiteFolder = Annotated[str | None, typer.Option("--site", metavar="FOLDER", help=_SITE_HELP)]
OperatingPoint = Annotated[str, typer.Option(metavar="NAME", help="Decision rule of the bundle.")]


@contextmanager
def configured_records() -> "Iterator[RecordStore]":
    """The records that the environment's settings name, not opened yet; closed when the block ends. Raises SettingsError."""
    from service.records.store import RecordStore
    from service.settings import read_settings

    records = RecordStore.from_settings(read_settings(os.environ))
    try:
        yield records
    finally:
        records.close()
