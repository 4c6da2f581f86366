"""Client of CommBox's audience API, as documented on the vendor's pages. No Airflow in here.

Pages: https://help.commbox.io/apidocs/create-new-audiences, .../get-audiences, .../update-static-audience. The API
cannot get, rename, append to or delete a single audience.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audience_onboarding.exceptions import ConfigurationError, NotFoundError
from audience_onboarding.http import BearerClient, FileContent, multipart_body, vendor_value
from audience_onboarding.platforms.commbox.connection import VENDOR, CommBoxSettings
from audience_onboarding.platforms.commbox.models import Audience, AudienceCreated, AudienceType

AUDIENCES = "/audiences"
AUDIENCE = "/Audiences/{audience_id}"
"""With a capital A, as on the page about updating."""

FILE_FIELD = "audience_file"


class CommBoxClient(BearerClient[CommBoxSettings]):
    """Client of one account; safe for many threads.

    The vendor's pages disagree on the key: valid for up to a year, or with a secret around it that changes daily. In
    both cases a user must renew it, see the error of a 401.
    """

    renewal = (
        "The API key has expired or was changed. Let an administrator get a new one in CommBox's management console "
        "(Settings > API), set it as Password of the connection (Admin > Connections), and clear the task"
    )

    def list_audiences(self) -> list[Audience]:
        """Return all audiences; the list has no pages."""
        answer = self._call("GET", AUDIENCES, operation="list_audiences")
        request_label = self._transport.request_label("GET", AUDIENCES)
        items = answer.get("data") if isinstance(answer, Mapping) else None
        if not isinstance(items, list):
            raise self._unexpected_response(request_label, "it contains no list", mutating=False)
        return [self._parse(Audience, item, request_label=request_label, mutating=False) for item in items]

    def load_audience(self, audience_id: str) -> Audience:
        """Return one audience of the list.

        :raises NotFoundError: it is not in the list.
        """
        for audience in self.list_audiences():
            if audience.id == audience_id:
                return audience
        raise NotFoundError(
            what=f"Audience {audience_id} not found",
            where=self._transport.request_label("GET", AUDIENCES),
            why="it is not in the list of audiences",
            next_step="Check in CommBox's console that it exists, and that the connection belongs to its account",
        )

    def find_audience(self, name: str) -> Audience | None:
        """Return the static audience of this name, ``None`` if no audience has it.

        :raises ConfigurationError: several audiences have it, or it is dynamic.
        """
        audience = self._single_match([item for item in self.list_audiences() if item.name == name], name)
        return None if audience is None else self.check_static(audience)

    @staticmethod
    def check_static(audience: Audience) -> Audience:
        """Return the audience, if it accepts a file.

        :raises ConfigurationError: it is dynamic.
        """
        if audience.type is not AudienceType.STATIC:
            raise ConfigurationError(
                what=f"Audience {audience.id} ({audience.name!r}) is {vendor_value(audience.type)}",
                where=VENDOR,
                why="only a static audience accepts a list",
                next_step="Set another name in the definition, or the 'id' of a static audience",
            )
        return audience

    def create_audience(self, *, name: str, file: FileContent) -> str:
        """Create a static audience with its customers, and return its id.

        The vendor does not prevent a second one of the same name.

        :param file: CSV with a column ``phone1``; streamed.
        """
        body = multipart_body({"name": name}, {FILE_FIELD: file})
        answer = self._call(
            "POST",
            AUDIENCES,
            operation="create_audience",
            body=body,
            subject=f"Audience {name!r}",
            next_step="The file needs a column 'phone1' with country code and digits only",
        )
        return self._parse_id(answer, "POST", AUDIENCES)

    def replace_audience(self, audience_id: str, *, file: FileContent) -> str:
        """Replace all customers of a static audience, and return its id. Idempotent.

        :param file: CSV with a column ``phone1``; streamed.
        """
        path = AUDIENCE.format(audience_id=audience_id)
        answer = self._call(
            "PUT",
            path,
            operation="replace_audience",
            body=multipart_body({}, {FILE_FIELD: file}),
            subject=f"Audience {audience_id}",
            next_step="It must be a static audience of this account, and the file needs a column 'phone1'",
        )
        return self._parse_id(answer, "PUT", path)

    def _parse_id(self, answer: Any, method: str, path: str) -> str:
        data = answer.get("data") if isinstance(answer, Mapping) else None
        request_label = self._transport.request_label(method, path)
        return self._parse(AudienceCreated, data, request_label=request_label, mutating=True).id

    def _message(self, answer: Any) -> str | None:
        description = answer.get("description") if isinstance(answer, Mapping) else None
        return str(description) if description else None
