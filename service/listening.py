"""Checks address, certificate and key of `bentoml serve` before it starts a worker: it restarts one that fails for ever."""

import errno
import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from service.contract.errors import ConfigError

_TLS_OPTIONS = ("certfile", "keyfile", "keyfile_password", "version", "cert_reqs", "ca_certs", "ciphers")

_REMEDIES = {
    errno.EADDRINUSE: "it is in use: end what listens there, or choose another port (--port; PORT= of make serve)",
    errno.EADDRNOTAVAIL: "this machine has no such address: 127.0.0.1 is this machine alone, 0.0.0.0 all that it has",
    errno.EACCES: "this user may not: choose a port of 1024 or more",
}


def check_options() -> None:
    """Those of the `bentoml serve` that runs in this process. Raises ConfigError."""
    command = click.get_current_context(silent=True)
    if command is None or "ssl_certfile" not in command.params:
        return
    # Not at import, by which the service would configure BentoML before BentoML does.
    from bentoml._internal.configuration.containers import BentoMLContainer

    http, tls = BentoMLContainer.http, BentoMLContainer.ssl
    given = {name: value for name, value in command.params.items() if value is not None}
    check_tls({f"ssl_{name}": getattr(tls, name).get() for name in _TLS_OPTIONS} | given)
    check_address(given.get("host", http.host.get()), given.get("port", http.port.get()))


def check_address(host: str, port: int) -> None:
    """Listen there for a moment. Raises ConfigError."""
    try:
        family = socket.AF_INET if ipaddress.ip_address(host).version == 4 else socket.AF_INET6
    except ValueError as fault:
        raise ConfigError(f"The host {host!r} is no IP address; write 127.0.0.1, 0.0.0.0 or another one.") from fault
    if not 0 <= port <= 65535:
        raise ConfigError(f"The port {port} is not between 0 and 65535.")
    try:
        with socket.socket(family) as listener:
            # As the server does it: connections of the last one that are still closing hinder nobody.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen()
    except OSError as fault:
        reason = _REMEDIES.get(fault.errno or 0, os.strerror(fault.errno or 0))
        raise ConfigError(f"Nothing can listen at {host}, port {port}: {reason}.") from fault


def check_tls(options: Mapping[str, Any]) -> None:
    """Load certificate and key as a worker will. options: of `bentoml serve`, ssl_certfile and so on; None or "" if not given.

    Raises ConfigError.
    """
    certificate, key, authorities = (options.get(name) or None for name in ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs"))
    if certificate is None:
        if key is not None:
            raise ConfigError(f"The key {key} is given without its certificate: --ssl-certfile (CERT= of make serve).")
        return
    for path in (certificate, key, authorities):
        if path is not None:
            _check_readable(path)
    password = _Password(options.get("ssl_keyfile_password") or "")
    try:
        context = ssl.SSLContext(options.get("ssl_version") or ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password.give)
        context.verify_mode = ssl.VerifyMode(options.get("ssl_cert_reqs") or ssl.CERT_NONE)
        if authorities is not None:
            context.load_verify_locations(authorities)
        if options.get("ssl_ciphers"):
            context.set_ciphers(options["ssl_ciphers"])
    except (ssl.SSLError, ValueError) as fault:
        if password.was_asked_for:
            raise ConfigError(f"The key {key or certificate} is encrypted; give its --ssl-keyfile-password.") from fault
        if key is None:
            raise ConfigError(
                f"The file {certificate} is not a certificate with its private key, in PEM; "
                "give the key's file: --ssl-keyfile (KEY= of make serve)."
            ) from fault
        raise ConfigError(
            f"The certificate {certificate} and the key {key} cannot be used: both must be PEM, the key that of the "
            f"certificate, and other --ssl options valid. OpenSSL says: {getattr(fault, 'reason', None) or fault}."
        ) from fault


class _Password:
    """Answers OpenSSL, which would ask at the terminal otherwise."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.was_asked_for = False

    def give(self) -> str:
        self.was_asked_for = True
        return self._text


def _check_readable(path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as fault:
        raise ConfigError(f"The file {path} of the --ssl options cannot be read: {fault.strerror}.") from fault
