"""Keeps a peer's listeners on loopback. nvflare_peer.py copies this file as sitecustomize.py where Python starts it by itself.

NVFLARE's simulator listens on every interface without authentication and has no setting against it; a measurement must not open
a port to the network, however short. Where the socket listens does not change how long a message over loopback takes.
"""

import socket

_bind = socket.socket.bind


def _bind_to_loopback(self, address):
    return _bind(self, ("127.0.0.1", address[1]) if self.family == socket.AF_INET else address)


socket.socket.bind = _bind_to_loopback
