"""`cxr keys`: API keys of the service, in the database that CXR_DATABASE_URL names."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from service.access.roles import Role
from service.commands.shared import configured_records

if TYPE_CHECKING:
    from service.access.keys import KeyStore, StoredKey

keys = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will use the key, as audit rows show it; no spaces.")],
    role: Annotated[Role, typer.Option(help="What the key may call.")],
    expires_days: Annotated[int | None, typer.Option(metavar="N", help="Days until the key expires. Default: never.")] = None,
) -> None:
    """Create a key and print it, once.

    Example: cxr keys create dr_who --role clinician
    """
    expires = None if expires_days is None else datetime.now(UTC) + timedelta(days=expires_days)
    with _key_store() as store:
        text, stored = store.create(name, role, expires)
    until = f"until {stored.expires_at}" if stored.expires_at else "until it is revoked"
    print(f"Key {stored.key_id} of {stored.name}, role {stored.role}, {until}. It is shown this once:", file=sys.stderr)
    print(text)


@keys.command("list")
def show() -> None:
    """Show all keys, without their secrets.

    Example: cxr keys list
    """
    row = "{:16}  {:24}  {:9}  {:19}  {}".format
    with _key_store() as store:
        print(row("key", "name", "role", "created", "state"))
        for key in store.every():
            print(row(key.key_id, key.name, key.role, key.created_at[:19], _state(key)).rstrip())


def _state(key: "StoredKey") -> str:
    if key.revoked_at:
        return f"revoked {key.revoked_at[:19]}"
    if key.expires_at:
        return f"{'expired' if key.has_expired() else 'until'} {key.expires_at[:19]}"
    return ""


@keys.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `cxr keys list` shows it.")]) -> None:
    """End a key. Running servers notice within five seconds.

    Example: cxr keys revoke 8f14e45fceea167a
    """
    with _key_store() as store:
        store.revoke(key_id)
    print(f"Key {key_id} is revoked; running servers notice within five seconds.", file=sys.stderr)


@contextmanager
def _key_store() -> "Iterator[KeyStore]":
    from service.access.keys import KeyStore

    with configured_records() as records:
        records.open()
        yield KeyStore(records.database)
