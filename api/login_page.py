"""The page at /login: plain HTML in the design's look, which loads nothing and runs no script."""

from html import escape

from panel_app.tokens import css_variables

CONTENT_SECURITY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)

_ICON = (
    '<svg viewBox="0 0 20 20" width="20" height="20" fill="none" stroke="currentColor" stroke-width="1.6"'
    ' stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><circle cx="10" cy="10" r="8.4"/>'
    '<path d="M5.6 12.6 10 6l4.4 6.6"/></svg>'
)
_STYLE = """
*, *::before, *::after { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; background: var(--page); color: var(--text); font: 400 13px/18px Roboto, system-ui, sans-serif; -webkit-text-size-adjust: 100%; }
header { height: 48px; padding: 0 16px; display: flex; align-items: center; gap: 10px; background: var(--card); border-bottom: 1px solid var(--line); font-weight: 500; font-size: 15px; color: var(--text); }
header svg { color: var(--ink); }
main { padding: 12px; }
.card { max-width: 360px; margin: 10vh auto 0; padding: 20px; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
h1 { margin: 0 0 12px; font-size: 18px; line-height: 24px; font-weight: 500; }
p { margin: 0 0 12px; color: var(--secondary); overflow-wrap: anywhere; }
p strong { font-weight: 500; color: var(--text); }
form { display: grid; gap: 12px; }
label { display: grid; gap: 4px; font-weight: 500; }
input { width: 100%; height: 36px; padding: 0 10px; font: 400 13px/18px Roboto, system-ui, sans-serif; color: var(--text); background: var(--card); border: 1px solid var(--control); border-radius: 4px; }
button { height: 36px; padding: 0 16px; font: 500 13px/18px Roboto, system-ui, sans-serif; color: var(--card); background: var(--ink); border: 1px solid var(--ink); border-radius: 4px; cursor: pointer; }
:focus-visible { outline: 2px solid var(--ink); outline-offset: 1px; }
.said { margin: 0 0 12px; padding: 9px 12px; border: 1px solid; border-radius: 8px; color: var(--text); }
.wrong { border-color: var(--critical); background: var(--critical-tint); }
.note { border-color: var(--warning-fill); background: var(--warning-tint); }
@media (max-width: 960px) { input, button { height: 44px; font-size: 16px; } .card { margin-top: 12px; } }
"""  # noqa: E501


def render(theme: str, *, next_path: str, wrong: str = "", note: str = "", name: str = "", who: str = "") -> str:
    """Show the form, or to who is logged in a way out.

    theme     : light or dark as the reader chose, "" for the system's.
    next_path : where to go then, a path of our own.
    wrong     : why the last try failed; note: what will be in the way. In words.
    name      : as it was typed in; who: the user who is logged in.
    """
    said = f'<p class="said wrong" role="alert" id="wrong">{escape(wrong)}</p>' if wrong else ""
    said += f'<p class="said note">{escape(note)}</p>' if note else ""
    body = _logged_in(who, next_path) if who else _form(next_path, name, bool(wrong))
    title = "Logged in" if who else "Log in"
    if wrong:
        title = f"Not logged in: {wrong}"
    chosen = f' data-theme="{theme}"' if theme else ""
    return (
        f'<!doctype html><html lang="en"{chosen}><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)} · heatpump</title>'
        f"<style>{_themes()}{_STYLE}</style></head>"
        f'<body><header>{_ICON}heatpump</header><main><div class="card">{said}{body}</div></main></body></html>'
    )


def render_again(address: str) -> str:
    """Send a browser here once more, as from ourselves: one that came from another site shows no cookie."""
    target = escape(address)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>heatpump</title>'
        f'<meta http-equiv="refresh" content="0;url={target}"></head>'
        f'<body><p><a href="{target}">Go on</a></p></body></html>'
    )


def _form(next_path: str, name: str, is_wrong: bool) -> str:
    described = ' aria-describedby="wrong"' if is_wrong else ""
    return (
        '<h1>Log in</h1><form method="post" action="/login">'
        f'<input type="hidden" name="next" value="{escape(next_path)}">'
        f'<label>Name<input name="name" value="{escape(name)}" autocomplete="username" autocapitalize="none"'
        f' spellcheck="false" maxlength="64" required{"" if name else " autofocus"}{described}></label>'
        '<label>Password<input name="password" type="password" autocomplete="current-password" required'
        f"{' autofocus' if name else ''}{described}></label><button>Log in</button></form>"
    )


def _logged_in(who: str, next_path: str) -> str:
    return (
        f"<h1>Logged in</h1><p>You are logged in as <strong>{escape(who)}</strong>."
        f' <a href="{escape(next_path)}">Go on</a></p>'
        '<form method="post" action="/logout"><button>Log out</button></form>'
    )


def _themes() -> str:
    light, dark = f"{css_variables('light')} color-scheme: light;", f"{css_variables('dark')} color-scheme: dark;"
    return (
        f':root {{ {light} }} :root[data-theme="dark"] {{ {dark} }}'
        f" @media (prefers-color-scheme: dark) {{ :root:not([data-theme]) {{ {dark} }} }}"
        " a { color: var(--ink); }"
    )
