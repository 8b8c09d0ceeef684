"""A trained model behind HTTP, and a page to try it on: ``perceiver serve``.

FastAPI, uvicorn, python-multipart and prometheus-client (extra `serve`) are imported when a server starts.
"""

from typing import TYPE_CHECKING

from perceiver_pytorch._lazy import lazily

if TYPE_CHECKING:
    from perceiver_pytorch.serve.app import create_app
    from perceiver_pytorch.serve.server import serve
    from perceiver_pytorch.serve.settings import ServeSettings

__all__ = ["ServeSettings", "create_app", "serve"]

__getattr__, __dir__ = lazily(__name__, {"app": "create_app", "server": "serve", "settings": "ServeSettings"})
