"""logout: ends a session where the pages are not behind one origin with the API, which does it there."""

from tornado.web import HTTPError

from panel_app.gate import COOKIE
from panel_app.own_host import OwnHost

PATH = r"/logout"


class Logout(OwnHost):
    """POST /logout: take the session's cookie back; on this machine one looks on without."""

    def post(self) -> None:
        """Do it."""
        if not self.gate.may_come_from(self.request.headers.get("Origin", ""), self.request):
            raise HTTPError(403)
        self.clear_cookie(COOKIE)
        self.redirect("/", status=303)
