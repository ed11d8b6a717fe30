"""Bodies of HTTP responses from servers that may send without end."""

import aiohttp


class BodyTooLongError(OSError):
    """A body with more bytes than its reader takes."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"body is over {limit_bytes} bytes")


async def read_bounded(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """The whole body, after decompression if the session decompresses.

    Raises:
        BodyTooLongError: it is over the limit. The rest is not read, and the connection is closed.
        aiohttp.ClientError: it broke off.
    """
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > limit_bytes:
            response.close()
            raise BodyTooLongError(limit_bytes)
    return bytes(body)
