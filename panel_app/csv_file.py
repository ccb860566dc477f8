"""csv_file: the series a chart shows, as the API writes them, handed on as a file."""

import re
from typing import Any

from panel_app.api_client import ApiProblem
from panel_app.own_host import OwnHost
from panel_app.visitors import Visitors

PATH = r"/csv/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})"
_TAKEN = ("fields", "start", "end", "resolution")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


class CsvFile(OwnHost):
    """GET /csv/{device_id}?fields&start&end&resolution: as of `/series?format=csv`."""

    def initialize(self, visitors: Visitors) -> None:  # type: ignore[override]
        """Take who knows whom to ask for."""
        super().initialize(visitors.gate)
        self._visitors = visitors

    async def get(self, device_id: str) -> None:
        """Answer the file, or in words why there is none."""
        admitted = await self._visitors.admit(self.request)
        if admitted is None:
            self._refuse(401, "log in first, at /login")
            return
        query: dict[str, Any] = {name: self.get_query_argument(name, None) for name in _TAKEN}
        api = self._visitors.client(admitted)
        try:
            text = await api.text(f"/api/devices/{device_id}/series", **query, format="csv")
        except ApiProblem as problem:
            self._refuse(problem.status or 503, problem.detail)
            return
        finally:
            await api.close()
        name = _UNSAFE.sub("-", f"{device_id}-{(query['start'] or '')[:10]}-{query['resolution'] or 'auto'}.csv")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(text)

    def _refuse(self, status: int, why: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(why)
