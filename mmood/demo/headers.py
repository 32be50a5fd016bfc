"""What the browser may load: nothing but what this server gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

POLICY = '; '.join(
    (
        "default-src 'self'",
        # gradio's page has scripts and styles in it.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "frame-ancestors 'none'",
    )
)


class PolicyHeader:
    """ASGI middleware that adds ``content-security-policy`` to answers."""

    def __init__(self, app: Callable) -> None:
        self.app = app

    @classmethod
    def wanted(cls) -> object:
        """For the arguments of a FastAPI app."""
        from starlette.middleware import Middleware  # comes with gradio

        return Middleware(cls)

    async def __call__(
        self, scope: Message, receive: Callable, send: Send
    ) -> None:
        async def send_with(message: Message) -> None:
            if message['type'] == 'http.response.start':
                header = (b'content-security-policy', POLICY.encode())
                headers = [*message.get('headers', ()), header]
                message = {**message, 'headers': headers}
            await send(message)

        await self.app(scope, receive, send_with)
