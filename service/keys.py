"""API keys at the command line: `python -m service.keys create NAME --role clinician | list | revoke KEY_ID`."""

import argparse
import os
import sys
from datetime import UTC, datetime, timedelta

from service.access.keys import KeyStore
from service.access.roles import Role
from service.command_line import report_faults
from service.records import build_records
from service.settings import read_settings


def main(argv: list[str]) -> int:
    """Exit status 1 if nothing was done."""
    arguments = _parse(argv)
    with report_faults() as outcome:
        records = build_records(read_settings(os.environ))
        records.open()
        arguments.command(KeyStore(records.database), arguments)
        records.close()
        outcome.status = 0
    return outcome.status


def _create(keys: KeyStore, arguments: argparse.Namespace) -> None:
    expires = None if arguments.expires_days is None else datetime.now(UTC) + timedelta(days=arguments.expires_days)
    text, stored = keys.create(arguments.name, Role(arguments.role), expires)
    until = f"until {stored.expires_at}" if stored.expires_at else "until it is revoked"
    print(f"Key {stored.key_id} of {stored.name}, role {stored.role}, {until}. It is shown this once:", file=sys.stderr)
    print(text)


def _list(keys: KeyStore, arguments: argparse.Namespace) -> None:
    row = "{:16}  {:24}  {:9}  {:19}  {}".format
    print(row("key", "name", "role", "created", "state"))
    now = datetime.now(UTC).isoformat()
    for key in keys.every():
        state = f"revoked {key.revoked_at[:19]}" if key.revoked_at else f"until {key.expires_at[:19]}" if key.expires_at else ""
        if not key.revoked_at and key.expires_at and key.expires_at <= now:
            state = f"expired {key.expires_at[:19]}"
        print(row(key.key_id, key.name, key.role, key.created_at[:19], state).rstrip())


def _revoke(keys: KeyStore, arguments: argparse.Namespace) -> None:
    keys.revoke(arguments.key_id)
    print(f"Key {arguments.key_id} is revoked; running servers notice within seconds.", file=sys.stderr)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.keys", description="API keys in CXR_DATABASE_URL.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    create = commands.add_parser("create", help="make a key and print it, once")
    create.add_argument("name", help="who will use it, as audit rows show it; no spaces")
    create.add_argument("--role", choices=[role.value for role in Role], required=True)
    create.add_argument("--expires-days", type=int, metavar="N", help="when it ends by itself (default: never)")
    create.set_defaults(command=_create)
    listing = commands.add_parser("list", help="show all keys, without their secrets")
    listing.set_defaults(command=_list)
    revoke = commands.add_parser("revoke", help="end a key")
    revoke.add_argument("key_id", help="as list shows it")
    revoke.set_defaults(command=_revoke)
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
