"""The routes of a server, and what it does when it starts and ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any

from perceiver_pytorch.data.errors import need
from perceiver_pytorch.serve import described
from perceiver_pytorch.serve.examples import Examples
from perceiver_pytorch.serve.guard import Guard
from perceiver_pytorch.serve.metrics import Metrics
from perceiver_pytorch.serve.refusals import RefusedError
from perceiver_pytorch.serve.served import Served
from perceiver_pytorch.serve.service import Service
from perceiver_pytorch.serve.settings import ServeSettings

SCRIPTS = ("page.js", "dom.js", "fields.js", "recording.js", "answer.js")
PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{f"/{name}": (name, "text/javascript; charset=utf-8") for name in SCRIPTS},
}
"""{path: (file of the folder page, its type)}."""


def create_app(served: Served, settings: ServeSettings | None = None, examples: Examples | None = None) -> Guard:
    """An ASGI application about one model.

    Args:
        served: the model.
        settings: limits, batches, and the names that it goes by.
        examples: rows that the page offers to try.

    Raises:
        ImportError: without the extra `serve`.
    """
    fastapi: Any = need("fastapi", "serve a model", extra="serve")
    need("python_multipart", "serve a model", extra="serve")
    settings = settings or ServeSettings()
    metrics = Metrics()
    service = Service(served, settings, metrics)

    @asynccontextmanager
    async def living(app: Any) -> AsyncIterator[None]:
        yield
        await asyncio.get_running_loop().run_in_executor(None, service.close)

    app = fastapi.FastAPI(
        title=f"perceiver: {served.name}",
        description="Predictions of a trained model. A row may lack any of its columns.",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=living,
    )
    for path, (name, kind) in PAGE.items():
        app.add_api_route(path, _file(name, kind), include_in_schema=False)
    _add_service(app, service)
    _add_about(app, service, metrics, examples or Examples())
    app.add_exception_handler(404, _worded("there is nothing at this address; /openapi.json says what there is"))
    app.add_exception_handler(405, _worded("this address takes another method; /openapi.json says which"))
    app.add_exception_handler(fastapi.exceptions.RequestValidationError, _worded("the address cannot be read", 422))
    app.add_exception_handler(Exception, _worded("the server failed at this request; its log says why", 500))
    app.add_exception_handler(RefusedError, _refused)
    hosts = (settings.host, *settings.allow_host)
    return Guard(app, hosts=hosts, any_address=not settings.local, metrics=metrics)


def _add_service(app: Any, service: Service) -> None:
    """The routes that ask the model."""
    from fastapi import Request
    from fastapi.responses import JSONResponse

    body = {"requestBody": described.request_body(service)}

    @app.post("/predict", openapi_extra=body, responses=described.responses(service), tags=["model"])
    async def predict(request: Request) -> JSONResponse:
        """What the model says of some rows; as a form, of one."""
        return JSONResponse(await service.predictions(request))

    @app.post("/explain", openapi_extra=body, responses=described.responses(service, explained=True), tags=["model"])
    async def explain(request: Request) -> JSONResponse:
        """What the model says of one row, without each of its modalities, and by each alone."""
        return JSONResponse(await service.contributions(request))


def _add_about(app: Any, service: Service, metrics: Metrics, examples: Examples) -> None:
    """The routes about the server."""
    from fastapi.responses import JSONResponse, Response

    @app.head("/health", include_in_schema=False)
    @app.get("/health", tags=["server"])
    async def health() -> dict[str, str]:
        """That the server is there."""
        return {"status": "ok"}

    @app.get("/spec", tags=["server"])
    async def spec() -> dict[str, Any]:
        """What the model reads and predicts, and the limits of a request."""
        return described.spec(service, len(examples))

    @app.get("/metrics", tags=["server"], responses={200: {"content": {"text/plain": {}}}}, response_class=Response)
    async def counted() -> Response:
        """Counts and times for Prometheus."""
        content, kind = metrics.text()
        return Response(content, media_type=kind)

    @app.get("/examples/{number}", tags=["server"], responses={404: described.responses(service)[422]})
    def example(number: int) -> JSONResponse:
        """A row to try, as `/predict` takes it, and what is true of it."""
        return JSONResponse(examples.row(number))


@cache
def _content(name: str) -> bytes:
    return (files("perceiver_pytorch.serve") / "page" / name).read_bytes()


def _file(name: str, kind: str) -> Callable[[], Any]:
    """A route that gives a file of the page."""
    from fastapi.responses import Response

    async def give() -> Response:
        return Response(_content(name), headers={"content-type": kind})

    return give


def _worded(message: str, status: int | None = None) -> Callable[..., Any]:
    """A handler that answers what the framework refuses with a sentence; without a status, with the error's own."""
    from fastapi.responses import JSONResponse

    async def handle(request: Any, error: Any) -> JSONResponse:
        return JSONResponse({"error": message}, status or error.status_code, headers=getattr(error, "headers", None))

    return handle


async def _refused(request: Any, error: Any) -> Any:
    from fastapi.responses import Response

    from perceiver_pytorch.serve.guard import ascii_json

    return Response(ascii_json(error.body), error.status, headers={**error.headers, "content-type": "application/json"})
