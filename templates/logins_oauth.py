# SPDX-License-Identifier: Apache-2.0
"""What the logins share that are another server's, by OAuth: login_openshift.py, login_oidc.py.

All that can go wrong there is a page that says what to do.
"""

import json
import ssl
from urllib.parse import urlsplit

from oauthenticator.oauth2 import OAuthCallbackHandler, OAuthLoginHandler
from tornado.httpclient import HTTPClientError
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.web import HTTPError

from logins import Refusal, again


class Login(OAuthLoginHandler):
    """Sends the browser to the other server's login page."""

    async def get(self):
        await self.authenticator.discover()
        super().get()


class Callback(OAuthCallbackHandler):
    """Takes up who comes back from there."""

    def initialize(self, **kwargs):
        super().initialize(**kwargs)
        # Errors and requests are logged with their address, which must not tell
        # the code. The arguments have been read from it by now.
        self.request.uri, self.request.query = self.request.path, ""

    def set_default_headers(self):
        super().set_default_headers()
        # Nor must what the page loads or leads to.
        self.set_header("Referrer-Policy", "no-referrer")

    def check_error(self):
        error = self.get_argument("error", "")
        if not error:
            return
        server = self.authenticator.server
        said = self.get_argument("error_description", error)
        if error == "access_denied":
            raise Refusal(400, f"The {server} was not allowed to tell who this is.", f"{self.authenticator.denied} (The {server} says: {said})")
        raise Refusal(400, f"The {server} answers {error!r}: {said!r}.", f"The {server} says: {said}. {again}")

    def check_state(self):
        try:
            super().check_state()
        except HTTPError as e:
            raise Refusal(
                e.status_code,
                f"{e.log_message}.",
                "This login was begun in another browser, was done already, or has taken too long.",
            ) from e


class Elsewhere:
    """An authenticator whose server has login pages of its own.

    It has `server`, what to call that, and `place`, where one is logged in then;
    `denied`, what to read for who didn't let it tell who they are; `trusted()`, a
    context with whom to take for it; and `discover()`, which finds out its
    addresses.
    """

    place = ""
    login_handler = Login
    callback_handler = Callback
    discovered = False

    # By its name: traitlets knows decorated defaults of its own classes only.
    def _http_client_default(self):
        # Not the one of libcurl, which images may have, too: it takes no SSL
        # context, and names under .localhost for its own machine.
        return SimpleAsyncHTTPClient(force_instance=True, max_clients=100)

    async def fetch(self, req, *args, **kwargs):
        """Send a request; say what is wrong if it can't be."""
        host = urlsplit(req.url).netloc
        try:
            req.ssl_options = self.trusted()
            return await super().fetch(req, *args, **kwargs)
        except ssl.SSLError as e:
            raise Refusal(
                502,
                f"The hub doesn't trust {host}.",
                f"The workshop doesn't trust the certificate of {host}, so nobody can log in.",
                f"{e}. Put the certificate of the authority that signed it into caBundle of the workshop file, and deploy that.",
            ) from e
        except HTTPClientError as e:
            if e.code < 500:
                raise  # what it means depends on what was asked
            raise unreachable(host, f"it answers {e.code} ({e.message})") from e
        except OSError as e:
            raise unreachable(host, str(e)) from e

    async def check_allowed(self, username, auth_model):
        if await super().check_allowed(username, auth_model):
            return True
        raise Refusal(
            403,
            f"{username!r} is not on the workshop's list.",
            f"You are logged in{self.place} as {username}, who is not on the list of those who may use this workshop. Ask your trainer to be put "
            "on it, or log in as somebody else.",
            "`workshopctl users add` puts them on it; --allowed-groups lets in whole groups.",
        )


def unreachable(host, why):
    return Refusal(502, f"The hub doesn't reach {host}.", f"The workshop doesn't reach {host}, so nobody can log in at the moment. {again}", f"{host}: {why}.")


def answer(error):
    """What an OAuth server or API server said, in its own words."""
    body = error.response.body if error.response else b""
    try:
        said = json.loads(body)
        said = said.get("error_description") or said.get("message") or said["error"]
    except (ValueError, KeyError, AttributeError):
        said = error.message
    return f"{said}".rstrip(".") + "."


def remember(authenticator, env, people):
    """Settings that all of them have, of the authenticator's configuration."""
    if people.admin_groups or people.allowed_groups:
        authenticator.manage_groups = True
        authenticator.admin_groups, authenticator.allowed_groups = people.admin_groups, people.allowed_groups
    if env.get("PUBLIC_URL"):
        authenticator.oauth_callback_url = env["PUBLIC_URL"].rstrip("/") + "/hub/oauth_callback"
    # No page of ours with a button before the other server's.
    authenticator.auto_login = True
    # The hub remembers who somebody is as long as its cookie lives, and keeps
    # none of the other server's tokens. It could ask there again and again with
    # one; but those live for 24 hours or less, and at their end an open
    # terminal would turn into a login page in the middle of a workshop.
    authenticator.enable_auth_state = False
    authenticator.auth_refresh_age = 0
