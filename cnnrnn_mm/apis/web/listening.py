# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Where a server listens."""

import ipaddress
import socket

from ...errors import UsageError

__all__ = ['is_loopback', 'listen']


def listen(host: str, port: int) -> socket.socket:
    """A bound socket.

    Args:
        host: Name or address of this machine.
        port: 0 for any that is free.

    Raises:
        UsageError: If the host is not known, or nobody can listen there.
    """
    if not 0 <= port <= 65_535:
        raise UsageError(f'port {port} is outside 0..65535: give another --port')
    try:
        (family, kind, proto, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, kind, proto)
    except (OSError, UnicodeError, OverflowError) as error:
        raise UsageError(f'host {host} is not known ({error}): take 127.0.0.1') from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except (OSError, OverflowError) as error:
        listener.close()
        why = getattr(error, 'strerror', None) or str(error)
        raise UsageError(
            f'nobody can listen at {host}, port {port} ({why}): give another --port (0 for any '
            'that is free) or --host'
        ) from None
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    found = {str(one[4][0]) for one in socket.getaddrinfo(host, None)}
    return all(ipaddress.ip_address(one.partition('%')[0]).is_loopback for one in found)
