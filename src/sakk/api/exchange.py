"""A request and its answer as the framework has them, and as the door does."""

import asyncio

from fastapi import Request as HttpRequest
from fastapi import Response as HttpResponse
from fastapi.responses import StreamingResponse

from sakk.api.answer import headers as answer_headers
from sakk.api.pipeline import Request
from sakk.core.errors import BodyTooLarge, InvalidRequest
from sakk.flow.idempotency import Answer

BODY_SECONDS_MAX = 30.0


def request_of(request: HttpRequest, method: str, body: bytes) -> Request:
    return Request(
        request_id=request_id(request),
        method=method,
        path=request.scope["path"],
        path_parameters=request.path_params,
        query=request.scope["query_string"],
        headers={
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in request.scope["headers"]
        },
        body=body,
        peer=request.client.host if request.client else None,
    )


def response_of(answer: Answer) -> HttpResponse:
    response: HttpResponse
    if answer.stream is not None:
        response = StreamingResponse(answer.stream, status_code=answer.status)
    else:
        response = HttpResponse(answer.body, status_code=answer.status)
    response.raw_headers = answer_headers(answer)
    return response


async def read_whole(request: HttpRequest, bytes_max: int) -> bytes:
    """The body, up to a size and a time; BodyTooLarge, InvalidRequest."""
    length = request.headers.get("content-length")
    if length is not None and (not length.isdigit() or int(length) > bytes_max):
        raise _too_large(bytes_max)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.stream():
                size += len(chunk)
                if size > bytes_max:
                    raise _too_large(bytes_max)
                chunks.append(chunk)
    except TimeoutError:
        raise InvalidRequest("The body took too long to arrive. Send it again.") from None
    return b"".join(chunks)


def request_id(request: HttpRequest) -> str:
    """The id that the envelope gave this request."""
    return str(request.scope["sakk.request_id"])


def _too_large(bytes_max: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {bytes_max} bytes. Send less at once.")
