"""csv_file: the series a chart shows, as the API writes them, handed on as a file."""

import re
from collections.abc import Collection
from typing import Any

from panel_app.api_client import ApiClient, ApiProblem
from panel_app.own_host import OwnHost

PATH = r"/csv/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})"
_TAKEN = ("fields", "start", "end", "resolution")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


class CsvFile(OwnHost):
    """GET /csv/{device_id}?fields&start&end&resolution: as of `/series?format=csv`."""

    def initialize(self, hosts: Collection[str], api: ApiClient) -> None:  # type: ignore[override]
        """Take our names, and what asks."""
        super().initialize(hosts)
        self._api = api

    async def get(self, device_id: str) -> None:
        """Answer the file, or in words why there is none."""
        query: dict[str, Any] = {name: self.get_query_argument(name, None) for name in _TAKEN}
        try:
            text = await self._api.text(f"/api/devices/{device_id}/series", **query, format="csv")
        except ApiProblem as problem:
            self.set_status(problem.status or 503)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(problem.detail)
            return
        name = _UNSAFE.sub("-", f"{device_id}-{(query['start'] or '')[:10]}-{query['resolution'] or 'auto'}.csv")
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(text)
