"""Checks address, certificate and key before `bentoml serve` starts a worker: one that fails would be restarted for ever."""

import errno
import ipaddress
import os
import socket
import ssl
from pathlib import Path

import click

from service.errors import SettingsError

_REMEDIES = {
    errno.EADDRINUSE: "it is in use: end what listens there, or choose another port (--port; PORT= of make serve)",
    errno.EADDRNOTAVAIL: "this machine has no such address: take 127.0.0.1 for this machine alone, 0.0.0.0 for all addresses",
    errno.EACCES: "this user may not listen there: choose a port of 1024 or more",
}


def check_options() -> None:
    """Check the options of the `bentoml serve` that runs in this process. Raises SettingsError."""
    command = click.get_current_context(silent=True)
    if command is None or "ssl_certfile" not in command.params:
        return
    # Not imported above: it would configure BentoML too early.
    from bentoml._internal.configuration.containers import BentoMLContainer

    http, tls = BentoMLContainer.http, BentoMLContainer.ssl
    given = {name: value for name, value in command.params.items() if value is not None}
    names = ("certfile", "keyfile", "keyfile_password")
    check_tls(*(given.get(f"ssl_{name}", getattr(tls, name).get()) for name in names))
    check_address(given.get("host", http.host.get()), given.get("port", http.port.get()))


def check_address(host: str, port: int) -> None:
    """Try to listen on an IP address and a port. Raises SettingsError."""
    try:
        family = socket.AF_INET if ipaddress.ip_address(host).version == 4 else socket.AF_INET6
    except ValueError as fault:
        raise SettingsError(f"The host {host!r} is no IP address; write 127.0.0.1, 0.0.0.0 or another one.") from fault
    try:
        with socket.socket(family) as listener:
            # As the server does: connections of a predecessor that are still closing (TIME_WAIT) must not block the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen()
    except OSError as fault:
        reason = _REMEDIES.get(fault.errno or 0, os.strerror(fault.errno or 0))
        raise SettingsError(f"Nothing can listen on {host}, port {port}: {reason}.") from fault


def check_tls(certificate: str | None, key: str | None, password: str | None = None) -> None:
    """Load certificate and key as a worker will. Raises SettingsError.

    Each is None or "" if not given. Without `key`, the key is expected in the certificate's file.
    """
    if not certificate:
        if key:
            raise SettingsError(f"The key {key} is given without its certificate: --ssl-certfile (CERT= of make serve).")
        return
    for path in (certificate, key or certificate):
        try:
            Path(path).read_bytes()
        except OSError as fault:
            raise SettingsError(f"The file {path} of the --ssl options cannot be read: {fault.strerror}.") from fault
    try:
        # "" as well: without a password OpenSSL would ask for it at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key or None, password or "")
    except (ssl.SSLError, ValueError) as fault:  # ValueError: the password is too long
        if not key:
            raise SettingsError(
                f"The file {certificate} is not a certificate with its private key, in PEM; "
                "give the key's file: --ssl-keyfile (KEY= of make serve)."
            ) from fault
        raise SettingsError(
            f"The certificate {certificate} and the key {key} cannot be used: both must be PEM, and the key that of the "
            "certificate. An encrypted key needs its --ssl-keyfile-password."
        ) from fault
