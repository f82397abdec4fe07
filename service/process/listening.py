"""Checks the address, certificate and key of `bentoml serve` before it starts a worker, which it would restart for ever."""

import errno
import ipaddress
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from service.errors import SettingsError

_TLS_OPTIONS = ("certfile", "keyfile", "keyfile_password", "version", "cert_reqs", "ca_certs", "ciphers")

_REMEDIES = {
    errno.EADDRINUSE: "it is in use: end what listens there, or choose another port (--port; PORT= of make serve)",
    errno.EADDRNOTAVAIL: "this machine has no such address: 127.0.0.1 is this machine alone, 0.0.0.0 all that it has",
    errno.EACCES: "this user may not: choose a port of 1024 or more",
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
    check_tls({f"ssl_{name}": getattr(tls, name).get() for name in _TLS_OPTIONS} | given)
    check_address(given.get("host", http.host.get()), given.get("port", http.port.get()))


def check_address(host: str, port: int) -> None:
    """Try to listen at an IP address and a port. Raises SettingsError."""
    try:
        family = socket.AF_INET if ipaddress.ip_address(host).version == 4 else socket.AF_INET6
    except ValueError as fault:
        raise SettingsError(f"The host {host!r} is no IP address; write 127.0.0.1, 0.0.0.0 or another one.") from fault
    if not 0 <= port <= 65535:
        raise SettingsError(f"The port {port} is not between 0 and 65535.")
    try:
        with socket.socket(family) as listener:
            # As the server does, so that closing connections of its predecessor do not count.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen()
    except OSError as fault:
        reason = _REMEDIES.get(fault.errno or 0, os.strerror(fault.errno or 0))
        raise SettingsError(f"Nothing can listen at {host}, port {port}: {reason}.") from fault


def check_tls(options: Mapping[str, Any]) -> None:
    """Load certificate and key as a worker will. Raises SettingsError.

    options: of `bentoml serve`, by name (ssl_certfile and so on); None or "" if not given.
    """
    certificate, key, authorities = (options.get(name) or None for name in ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs"))
    if certificate is None:
        if key is not None:
            raise SettingsError(f"The key {key} is given without its certificate: --ssl-certfile (CERT= of make serve).")
        return
    for path in (certificate, key, authorities):
        if path is not None:
            _check_readable(path)
    version, demand, ciphers = (options.get(f"ssl_{name}") or None for name in ("version", "cert_reqs", "ciphers"))
    with _reported_as(f"--ssl-version is {version}: must be one of Python's ssl module, such as 17 (PROTOCOL_TLS_SERVER)."):
        context = ssl.SSLContext(version or ssl.PROTOCOL_TLS_SERVER)
    _load_certificate(context, certificate, key, options.get("ssl_keyfile_password") or "")
    with _reported_as(f"--ssl-cert-reqs is {demand}: must be 0 (callers need no certificate), 1 (may have one) or 2 (must)."):
        context.verify_mode = ssl.VerifyMode(demand or ssl.CERT_NONE)
    if authorities is not None:
        with _reported_as(f"The file {authorities} of --ssl-ca-certs holds no certificates in PEM."):
            context.load_verify_locations(authorities)
    if ciphers is not None:
        with _reported_as(f"--ssl-ciphers is {ciphers!r}: OpenSSL knows no such suites."):
            context.set_ciphers(ciphers)


@contextmanager
def _reported_as(message: str) -> Iterator[None]:
    """Raise SettingsError with this message in place of OpenSSL's errors, which do not name the option."""
    try:
        yield
    except (ssl.SSLError, ValueError) as fault:
        raise SettingsError(message) from fault


def _load_certificate(context: ssl.SSLContext, certificate: str, key: str | None, password: str) -> None:
    """key: None if it is in the certificate's file. password: "" if not given. Raises SettingsError."""
    asked_for_password = False

    def give_password() -> str:  # otherwise OpenSSL would ask at the terminal
        nonlocal asked_for_password
        asked_for_password = True
        return password

    try:
        context.load_cert_chain(certificate, key, give_password)
    except (ssl.SSLError, ValueError) as fault:  # ValueError: the password is too long
        if asked_for_password:
            reason = "does not open it" if password else "is missing"
            message = f"The key {key or certificate} is encrypted, and its --ssl-keyfile-password {reason}."
        elif key is None:
            message = (
                f"The file {certificate} is not a certificate with its private key, in PEM; "
                "give the key's file: --ssl-keyfile (KEY= of make serve)."
            )
        else:
            said = f". OpenSSL says: {fault.reason}" if isinstance(fault, ssl.SSLError) and fault.reason else ""
            message = (
                f"The certificate {certificate} and the key {key} cannot be used: both must be PEM, and the key that of the "
                f"certificate{said}."
            )
        raise SettingsError(message) from fault


def _check_readable(path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as fault:
        raise SettingsError(f"The file {path} of the --ssl options cannot be read: {fault.strerror}.") from fault
