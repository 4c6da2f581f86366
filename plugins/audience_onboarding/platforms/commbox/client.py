"""CommBox's audience API, as documented on the vendor's pages. No Airflow in here.

Pages: https://help.commbox.io/apidocs/create-new-audiences, .../get-audiences, .../update-static-audience. There is no
operation that gets one audience, renames, appends to or deletes one.
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
"""With a capital A, as the page about updating spells it."""

FILE_FIELD = "audience_file"


class CommBoxClient(BearerClient[CommBoxSettings]):
    """One account of CommBox; may be used by many threads at once.

    The vendor's pages disagree on what the key is: one calls it valid for up to a year, another says that the secret
    around it changes daily. Either way a person has to renew it, which the error of a 401 says.
    """

    renewal = (
        "The API key has expired or was changed: an administrator finds a new one in CommBox's management console "
        "under Settings > API; put it into the Password of the connection (Admin > Connections), then clear the task"
    )

    def list_audiences(self) -> list[Audience]:
        """All audiences; the list has no pages."""
        answer = self._call("GET", AUDIENCES, operation="list_audiences")
        request_label = self._transport.request_label("GET", AUDIENCES)
        items = answer.get("data") if isinstance(answer, Mapping) else None
        if not isinstance(items, list):
            raise self._unexpected_response(request_label, "there is no list in it", mutating=False)
        return [self._parse(Audience, item, request_label=request_label, mutating=False) for item in items]

    def load_audience(self, audience_id: str) -> Audience:
        """One audience, out of the list.

        :raises NotFoundError: the list does not hold it.
        """
        for audience in self.list_audiences():
            if audience.id == audience_id:
                return audience
        raise NotFoundError(
            what=f"There is no audience {audience_id}",
            where=self._transport.request_label("GET", AUDIENCES),
            why="the list of audiences does not hold it",
            next_step="Check in CommBox's console that it exists there, and that the connection is that of its account",
        )

    def find_audience(self, name: str) -> Audience | None:
        """The static audience of this name, ``None`` if there is no audience called so.

        :raises ConfigurationError: there are several, or it is dynamic.
        """
        found = self._single_match([item for item in self.list_audiences() if item.name == name], name)
        return None if found is None else self.check_static(found)

    @staticmethod
    def check_static(audience: Audience) -> Audience:
        """The audience, if it can take a file.

        :raises ConfigurationError: it is dynamic.
        """
        if audience.type is not AudienceType.STATIC:
            raise ConfigurationError(
                what=f"Audience {audience.id} ({audience.name!r}) is {vendor_value(audience.type)}",
                where=VENDOR,
                why="only a static audience takes a list",
                next_step="Give another name in the definition, or the 'id' of a static audience",
            )
        return audience

    def create_audience(self, *, name: str, file: FileContent) -> str:
        """Create a static audience with its customers, and return its id.

        Nothing at the vendor keeps a second one of the same name from being created.

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
        return self._id_in(answer, "POST", AUDIENCES)

    def replace_audience(self, audience_id: str, *, file: FileContent) -> str:
        """Replace all customers of a static audience, and return its id. Doing so twice is harmless.

        :param file: CSV with a column ``phone1``; streamed.
        """
        path = AUDIENCE.format(audience_id=audience_id)
        answer = self._call(
            "PUT",
            path,
            operation="replace_audience",
            body=multipart_body({}, {FILE_FIELD: file}),
            subject=f"Audience {audience_id}",
            next_step="It has to be a static audience of this account, and the file needs a column 'phone1'",
        )
        return self._id_in(answer, "PUT", path)

    def _id_in(self, answer: Any, method: str, path: str) -> str:
        data = answer.get("data") if isinstance(answer, Mapping) else None
        request_label = self._transport.request_label(method, path)
        return self._parse(AudienceCreated, data, request_label=request_label, mutating=True).id

    def _message(self, answer: Any) -> str | None:
        description = answer.get("description") if isinstance(answer, Mapping) else None
        return str(description) if description else None
