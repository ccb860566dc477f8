"""not_found: what is answered where there is no page."""

from tornado.web import RequestHandler

from panel_app.components.render import render
from panel_app.tokens import css_variables


class NotFound(RequestHandler):
    """404 with a way to the first page, in the theme that the reader chose; of the log-in form, where it is."""

    def prepare(self) -> None:
        """Answer, whatever the method."""
        self.set_status(404)
        theme = self.get_cookie("heatpump_theme")
        self.finish(
            render(
                "not_found",
                to_log_in=self.request.path == "/login",
                theme=theme if theme in ("light", "dark") else "",
                light=css_variables("light"),
                dark=css_variables("dark"),
            )
        )
