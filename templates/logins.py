# SPDX-License-Identifier: Apache-2.0
"""What the kinds of login share.

Each kind is a file of its own beside this one, login_AUTH.py, which
jupyterhub_config.py imports by its name. It has

    configure(c, env, people)   says how to log in, and may change who people are
    guests = True               if nobody can come back as the user that they were
"""

import asyncio
import html
from http.client import responses

from jupyterhub.handlers.login import LogoutHandler
from tornado.httpclient import AsyncHTTPClient
from tornado.web import HTTPError


def names(env, variable):
    """The names in a list with commas."""
    return {entry.strip() for entry in env.get(variable, "").split(",") if entry.strip()}


class People:
    """Who may log in, as the Spec lists them."""

    def __init__(self, env):
        self.admins, self.allowed = names(env, "ADMIN_USERS"), names(env, "ALLOWED_USERS")
        self.admin_groups, self.allowed_groups = names(env, "ADMIN_GROUPS"), names(env, "ALLOWED_GROUPS")

    def lower(self):
        """For logins whose names JupyterHub takes in lower case, whatever was typed."""
        self.admins, self.allowed = {n.lower() for n in self.admins}, {n.lower() for n in self.allowed}


def telling(handler):
    """A logout that has the user's sessions ask at once who may still be there.

    The hub has revoked the tokens of this login by then. Without it, an open
    terminal would end at the gateway's next check, within a minute.
    """

    class Logout(handler):
        async def handle_logout(self):
            await super().handle_logout()
            user = self.current_user
            running = [s.server.url for s in user.spawners.values() if s.ready and s.server] if user else []
            ask = AsyncHTTPClient().fetch
            checks = [ask(url + "check", method="POST", body="", connect_timeout=2, request_timeout=2) for url in running]
            await asyncio.gather(*checks, return_exceptions=True)

    return Logout


class Prompt:
    """An authenticator whose logouts are prompt."""

    def get_handlers(self, app):
        handlers = dict(super().get_handlers(app))
        handlers["/logout"] = telling(handlers.get("/logout", LogoutHandler))
        return list(handlers.items())


class Listed(Prompt):
    """An authenticator whose admins are those on the list.

    JupyterHub's own make admins of those on it and leave those who once were.
    """

    def is_admin(self, handler, authentication):
        return authentication["name"] in self.admin_users


class Refusal(HTTPError):
    """A page that says what happened and what to do, with a way to begin anew.

    `trainer` is what those can do about it who have deployed the workshop; the
    log has it, too.
    """

    def __init__(self, status, title, attendee, trainer=""):
        # JupyterHub 6 would make a heading of what is for the log.
        super().__init__(status, f"{title} {trainer}" if trainer else title, reason=responses[status])
        text = html.escape(attendee)
        if trainer:
            text += f"<br><br><small>For your trainer: {html.escape(trainer)}</small>"
        # The page is /hub/oauth_login or /hub/oauth_callback.
        text += '<br><br><a class="btn btn-jupyter" role="button" href="login">Log in again</a>'
        self.jupyterhub_message = attendee
        self.jupyterhub_html_message = text


again = "Try it again. If that doesn't help, tell your trainer what this page says."
