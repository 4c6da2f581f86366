"""The Audiences page's own server: a FastAPI app below Airflow's, behind Airflow's login and DAG permissions.

Airflow mounts such an app without any protection, so each address that tells something asks for it here. It only reads.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, bearer_scheme, get_user, requires_access_dag
from airflow.configuration import conf
from airflow.models.dag import DagModel
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from pydantic import BaseModel
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles

from audience_onboarding import __version__
from audience_onboarding.ui import service
from audience_onboarding.ui.links import Hrefs
from audience_onboarding.ui.models import Health
from audience_onboarding.ui.plugin_views import Receive, Scope, Send

HERE = Path(__file__).parent
STATIC = HERE / "static"

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

A_YEAR = "public, max-age=31536000, immutable"
"""For what has its version in its address."""

ASK_AGAIN = "no-cache"
"""Kept, and asked for again each time, which costs no body where it is unchanged."""

MAX_ROWS = 200
MAX_LOADS = 400


class _Headers:
    """Sets the headers that all answers have, unless they bring their own."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                headers.setdefault("Cache-Control", "no-store")
                headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class _Static(StaticFiles):
    """The page's scripts and styles."""

    def file_response(self, full_path: Any, stat_result: Any, scope: Any, status_code: int = 200) -> Response:
        """As Starlette does, kept for long if the address has a version."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        has_version = b"v=" in scope.get("query_string", b"")
        response.headers["Cache-Control"] = A_YEAR if has_version else ASK_AGAIN
        return response


class Reader:
    """Who asks, and what Airflow lets them do."""

    def __init__(self, user: Any, session: Any) -> None:
        self._user = user
        self._session = session
        self._manager: Any = get_auth_manager()

    def readable(self, dag_ids: set[str]) -> set[str]:
        """Those of the DAGs that Airflow knows that the reader may read."""
        allowed: set[str] = self._manager.get_authorized_dag_ids(
            user=self._user, method="GET", session=self._session
        )
        return dag_ids & allowed

    def readable_gone(self, dag_ids: set[str]) -> set[str]:
        """Those of the DAGs that Airflow does not know any more that the reader might read. Whose team they were of,
        nobody knows."""
        if not dag_ids or conf.getboolean("core", "multi_team", fallback=False):
            return set()
        allowed: set[str] = self._manager.filter_authorized_dag_ids(
            dag_ids=dag_ids, user=self._user, method="GET"
        )
        return dag_ids & allowed

    def triggerable(self, dag_ids: set[str]) -> set[str]:
        """Those that the reader may start a run of."""
        teams = DagModel.get_dag_id_to_team_name_mapping(sorted(dag_ids), session=self._session)
        return {
            dag_id
            for dag_id in dag_ids
            if self._manager.is_authorized_dag(
                method="POST",
                access_entity=DagAccessEntity.RUN,
                details=DagDetails(id=dag_id, team_name=teams.get(dag_id)),
                user=self._user,
            )
        }


def _reader(user: GetUserDep, session: SessionDep) -> Reader:
    return Reader(user, session)


ReaderDep = Annotated[Reader, Depends(_reader)]
SortDep = Annotated[
    str,
    Query(pattern=f"^-?({'|'.join(service.SORTS)})$", description="What to sort by; a dash turns it round."),
]


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _hrefs(request: Request) -> Hrefs:
    return Hrefs(_base_of(request))


def _base_of(request: Request) -> str:
    """The path that Airflow is served at, without a slash at its end."""
    return str(request.scope.get("app_root_path", "")).rstrip("/")


# Whoever may read no DAG at all is told so at once, as Airflow's own list of DAGs does.
data = APIRouter(prefix="/api", dependencies=[Depends(requires_access_dag("GET"))])


@data.get("/audiences")
def list_audiences(  # noqa: PLR0913, PLR0917
    reader: ReaderDep,
    session: SessionDep,
    search: Annotated[str, Query(max_length=200)] = "",
    platform: Annotated[list[str], Query()] = [],  # noqa: B006 - as FastAPI wants it
    health: Annotated[list[Health], Query()] = [],  # noqa: B006
    owner: Annotated[list[str], Query()] = [],  # noqa: B006
    sort: SortDep = "health",
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """A page of the table."""
    wanted = service.Wanted(
        search=search,
        platforms=frozenset(platform),
        health=frozenset(health),
        owners=frozenset(owner),
        sort=sort,
        limit=limit,
        offset=offset,
    )
    return _json(service.audience_list(session, reader, wanted, _now()))


@data.get("/audiences/{key}")
def get_audience(key: str, request: Request, reader: ReaderDep, session: SessionDep) -> Response:
    """One audience."""
    now = _now()
    item = _allowed(service.find(session, key), key, reader)
    return _json(service.audience_detail(session, item, reader, hrefs=_hrefs(request), now=now))


@data.get("/audiences/{key}/loads")
def list_loads(
    key: str,
    request: Request,
    reader: ReaderDep,
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=MAX_LOADS)] = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """A page of the history of its loads."""
    item = _allowed(service.find_asset(session, key), key, reader)
    return _json(service.load_list(session, item, hrefs=_hrefs(request), limit=limit, offset=offset))


def _allowed(item: service.Audience | None, key: str, reader: Reader) -> service.Audience:
    if item is None:
        raise HTTPException(404, f"There is no audience {key!r}")
    if not service.readable_only([item], reader):
        raise HTTPException(403, "Forbidden")
    return item


class Page:
    """The one page, with the version of each script and style in its address."""

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
        """The page, or the way to Airflow's login."""
        try:
            await get_user(request, None, bearer)
        except HTTPException:
            base = _base_of(request)
            here = quote(f"{request.scope.get('root_path', '').rstrip('/')}/", safe="")
            return RedirectResponse(f"{base}/api/v2/auth/login?next={here}", status_code=307)
        return Response(self.text, media_type="text/html; charset=utf-8")


def _icon(name: str) -> Any:
    def get() -> FileResponse:
        return FileResponse(HERE / name, media_type="image/svg+xml", headers={"Cache-Control": ASK_AGAIN})

    return get


def build_app() -> FastAPI:
    """The app, to be mounted below Airflow's."""
    app = FastAPI(title="Audiences", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_middleware(_Headers)
    app.include_router(data)
    app.add_api_route("/", Page(STATIC).__call__, methods=["GET"], include_in_schema=False)
    for name in ("icon.svg", "icon-dark.svg"):
        app.add_api_route(f"/{name}", _icon(name), methods=["GET"], include_in_schema=False)
    app.mount("/static", _Static(directory=STATIC), name="static")
    return app
