# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Fetch a photo."""

import http.client
import time
import urllib.error
import urllib.request

from ..errors import UsageError
from ..version import __version__

__all__ = ['download_photo']

CHUNK = 2**16


def download_photo(address: str, timeout: float = 20.0, max_bytes: int = 64 * 2**20) -> bytes:
    """The content of an ``http(s)`` address.

    Args:
        address: Where it is.
        timeout: Seconds without an answer, and for the whole content once it comes.
        max_bytes: Most that is read.

    Raises:
        UsageError: If it can't be fetched, takes too long or is too large.
    """
    ends = time.monotonic() + timeout
    request = urllib.request.Request(address, headers={'User-Agent': f'cnnrnn_mm/{__version__}'})
    content = bytearray()
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            while chunk := answer.read1(CHUNK):
                content += chunk
                if len(content) > max_bytes:
                    raise UsageError(
                        f'photo {address} is larger than {max_bytes / 2**20:g} MiB: fetch it '
                        'yourself, and name the file'
                    )
                if time.monotonic() > ends:
                    raise TimeoutError
            promised = answer.headers.get('Content-Length')
    except urllib.error.HTTPError as error:
        why = f'HTTP {error.code} {error.reason}'
    except TimeoutError:
        why = f'no answer within {timeout:g} s'
    except urllib.error.URLError as error:
        late = isinstance(error.reason, TimeoutError)
        why = f'no answer within {timeout:g} s' if late else _words(error.reason)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        why = _words(error)
    else:
        if promised is None or not promised.isdigit() or len(content) >= int(promised):
            return bytes(content)
        why = f'{len(content)} of {promised} bytes came'
    raise UsageError(f'photo {address} can not be fetched ({why}): check the address')


def _words(error: object) -> str:
    """An error in one line."""
    text = getattr(error, 'strerror', None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
