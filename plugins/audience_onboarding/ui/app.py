"""FastAPI app of the Audiences page, mounted below Airflow's, behind Airflow's login and DAG permissions.

Airflow mounts the app without any protection, so each endpoint with data checks the permissions itself. It only reads.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, bearer_scheme, get_user, requires_access_dag
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audience_onboarding import __version__
from audience_onboarding.ui import service
from audience_onboarding.ui.links import AirflowPaths
from audience_onboarding.ui.loader import Audience, AudienceLoader, Reader, select_readable

STATIC = Path(__file__).parent / "static"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        # Airflow shows the page in a frame of its own.
        "frame-ancestors 'self'",
    )
)

IMMUTABLE = "public, max-age=31536000, immutable"
"""Cache header of URLs with a version."""

REVALIDATE = "no-cache"
"""Cache header of other static files: cached, and revalidated on each use."""


class _Headers:
    """Sets default headers of all responses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                headers.setdefault("Cache-Control", "no-store")
                headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class _Static(StaticFiles):
    """The page's scripts, styles and icons."""

    def file_response(self, full_path: Any, stat_result: Any, scope: Any, status_code: int = 200) -> Response:
        """Return Starlette's response; URLs with a version are cached for a year."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        has_version = b"v=" in scope.get("query_string", b"")
        response.headers["Cache-Control"] = IMMUTABLE if has_version else REVALIDATE
        return response


def _reader(user: GetUserDep, session: SessionDep) -> Reader:
    return Reader(user, session)


ReaderDep = Annotated[Reader, Depends(_reader)]


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _json(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json")


def _base_path(request: Request) -> str:
    """Return the path that Airflow is served at, without a trailing slash."""
    return str(request.scope.get("app_root_path", "")).rstrip("/")


# A user who may read no DAG at all gets 403, as from Airflow's own list of DAGs.
data = APIRouter(prefix="/api", dependencies=[Depends(requires_access_dag("GET"))])


@data.get("/audiences")
def list_audiences(
    request: Annotated[service.ListRequest, Query()], reader: ReaderDep, session: SessionDep
) -> Response:
    """Return a page of the table."""
    return _json(service.list_audiences(session, reader, request, _now()))


@data.get("/audiences/{key}")
def get_audience(key: str, request: Request, reader: ReaderDep, session: SessionDep) -> Response:
    """Return the page of one audience."""
    item = _check_access(AudienceLoader(session, key).load(), key, reader)
    paths = AirflowPaths(_base_path(request))
    return _json(service.get_detail(session, item, reader, paths=paths, now=_now()))


@data.get("/audiences/{key}/loads")
def list_loads(
    key: str,
    request: Request,
    reader: ReaderDep,
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=400)] = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """Return a page of the load history of an audience."""
    item = _check_access(AudienceLoader(session, key).load_assets().values(), key, reader)
    paths = AirflowPaths(_base_path(request))
    return _json(service.list_loads(session, item, paths=paths, limit=limit, offset=offset))


def _check_access(items: Collection[Audience], key: str, reader: Reader) -> Audience:
    if not items:
        raise HTTPException(404, f"Audience {key!r} not found")
    readable = select_readable(items, reader)
    if not readable:
        raise HTTPException(403, "Forbidden")
    return readable[0]


class Page:
    """HTML of the page, with a version in the URL of each script and style."""

    def __init__(self, folder: Path) -> None:
        digest = hashlib.sha256(__version__.encode())
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
        version = digest.hexdigest()[:16]
        text = (folder / "index.html").read_text(encoding="utf-8")
        self.text = re.sub(r'(\s(?:src|href)="static/[^"?#]+)(?=")', rf"\1?v={version}", text)

    async def __call__(
        self, request: Request, bearer: Annotated[Any, Depends(bearer_scheme)] = None
    ) -> Response:
        """Return the page, or a redirect to Airflow's login."""
        try:
            await get_user(request, None, bearer)
        except HTTPException:
            page = quote(f"{request.scope.get('root_path', '').rstrip('/')}/", safe="")
            return RedirectResponse(f"{_base_path(request)}/api/v2/auth/login?next={page}", status_code=307)
        return Response(self.text, media_type="text/html; charset=utf-8")


def build_app() -> FastAPI:
    """Build the app that is mounted below Airflow's."""
    app = FastAPI(title="Audiences", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_middleware(_Headers)
    app.include_router(data)
    app.add_api_route("/", Page(STATIC).__call__, methods=["GET"], include_in_schema=False)
    app.mount("/static", _Static(directory=STATIC), name="static")
    return app
