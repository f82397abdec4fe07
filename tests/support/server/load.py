"""Clients that keep a service busy, each on one connection."""

import http.client
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Load:
    """What became of the requests."""

    answered: dict[str, int] = field(default_factory=dict)  # request id -> status
    broken: list[str] = field(default_factory=list)  # requests that got no answer on a connection that the server had accepted
    _stop: threading.Event = field(default_factory=threading.Event)

    def client(self, address: str, film: bytes) -> None:
        """Send one film after the other until told to stop, or until the server says that it closes the connection."""
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        is_open = True
        while is_open and not self._stop.is_set():
            request_id = str(uuid.uuid4())
            try:
                connection.request("POST", "/predict", film, {"X-Request-ID": request_id})
                response = connection.getresponse()
                response.read()
            except (http.client.HTTPException, OSError) as fault:
                self.broken.append(f"{request_id} {fault!r}")
                break
            self.answered[request_id] = response.status
            is_open = not response.will_close
        connection.close()


@contextmanager
def load(address: str, film: bytes, clients: int) -> Iterator[Load]:
    """Run this number of clients until the block ends."""
    running = Load()
    threads = [threading.Thread(target=running.client, args=(address, film)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        running._stop.set()
        for thread in threads:
            thread.join()
