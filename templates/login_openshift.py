# SPDX-License-Identifier: Apache-2.0
"""Login with an account of the cluster, by OpenShift's OAuth server.

The hub's service account is the OAuth client: its annotations say where people
may be sent back to, and its token, which Kubernetes renews, is the secret. So
there is nothing to register, and no secret to keep. The only scope asked for
is user:info, who somebody is; the hub keeps no token of theirs.
"""

import functools
import json
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from oauthenticator.openshift import OpenShiftOAuthenticator
from tornado.httpclient import HTTPClientError
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.web import HTTPError
from traitlets import default

from logins import Listed, Refusal, again

api_server = "https://kubernetes.default.svc"
account = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def trusted():
    """Whom to take for the cluster: the authorities of the image and of the workshop file, and the cluster's own.

    The file of the account has the API server's and the router's. It changes
    when they do.
    """
    file = account / "ca.crt"
    return _trusted(file, file.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _trusted(file, _changed):
    context = ssl.create_default_context()
    context.load_verify_locations(file)
    # As oc and kubectl see it: a router's own certificate may be listed instead
    # of an authority, and old authorities lack what newer rules ask for.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


class Login(OpenShiftOAuthenticator.login_handler):
    """Sends the browser to the cluster's login page."""

    async def get(self):
        await self.authenticator.discover()
        super().get()


class Callback(OpenShiftOAuthenticator.callback_handler):
    """Takes up who comes back from the cluster's login page."""

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
        said = self.get_argument("error_description", error)
        if error == "access_denied":
            raise Refusal(
                400,
                "The cluster's login was not allowed to tell who this is.",
                "You have not let the workshop know who you are at the cluster. It asks for nothing but your name, and needs it to give you "
                f"a session of your own: log in again, and choose to allow it. (The cluster's login says: {said})",
            )
        raise Refusal(400, f"The cluster's login answers {error!r}: {said!r}.", f"The cluster's login says: {said}. {again}")

    def check_state(self):
        try:
            super().check_state()
        except HTTPError as e:
            raise Refusal(
                e.status_code,
                f"{e.log_message}.",
                "This login was begun in another browser, was done already, or has taken too long.",
            ) from e


class OpenShift(Listed, OpenShiftOAuthenticator):
    login_handler = Login
    callback_handler = Callback
    discovered = False

    @default("http_client")
    def _http_client(self):
        # Not the one of libcurl, which images may have, too: it takes no SSL
        # context, and names under .localhost for its own machine.
        return SimpleAsyncHTTPClient(force_instance=True, max_clients=100)

    @default("openshift_url")
    def _api_server(self):
        return api_server

    def normalize_username(self, username):
        """A name is what the cluster says it is: there, Jane and jane are two people."""
        return username

    async def discover(self):
        """Find the OAuth server, once it is needed: the hub starts without it."""
        if self.discovered:
            return
        try:
            server = await self.httpfetch(f"{self.openshift_url}/.well-known/oauth-authorization-server")
        except HTTPClientError as e:
            raise Refusal(
                502,
                "The cluster has no login of its own.",
                f"The workshop can't find out where this cluster logs people in. {again}",
                f"The API server answers {e.code} when asked for its OAuth server, as clusters with an external identity provider do. "
                "`workshopctl deploy --auth password` lets attendees in without it.",
            ) from e
        self.token_url, self.authorize_url = server["token_endpoint"], server["authorization_endpoint"]
        self.discovered = True

    def build_access_tokens_request_params(self, handler, data=None):
        # Kubernetes renews the token long before it expires.
        self.client_secret = (account / "token").read_text().strip()
        return super().build_access_tokens_request_params(handler, data)

    async def get_token_info(self, handler, params):
        try:
            await self.discover()  # the hub may have been restarted meanwhile
            return await super().get_token_info(handler, params)
        except HTTPClientError as e:
            raise Refusal(
                502,
                "The cluster's login refuses the hub's account.",
                f"The cluster's login doesn't tell this workshop who you are. {again}",
                f"It answers {e.code}: {answer(e)} The client is {self.client_id}, its secret the token of that account; `workshopctl status` checks it.",
            ) from e

    async def token_to_user(self, token_info):
        try:
            return await super().token_to_user(token_info)
        except HTTPClientError as e:
            raise Refusal(
                502,
                "The API server doesn't say who has logged in.",
                f"The cluster doesn't tell this workshop who you are. {again}",
                f"The API server answers {e.code}: {answer(e)}",
            ) from e

    async def get_user_groups(self, auth_state):
        """Those that the workshop asks for; what else somebody belongs to is nobody's business here."""
        return await super().get_user_groups(auth_state) & (self.admin_groups | self.allowed_groups)

    async def check_allowed(self, username, auth_model):
        if await super().check_allowed(username, auth_model):
            return True
        raise Refusal(
            403,
            f"{username!r} is not on the workshop's list.",
            f"You are logged in to the cluster as {username}, who is not on the list of those who may use this workshop. Ask your trainer to be put on it, "
            "or log in as somebody else.",
            "`workshopctl deploy` changes the list with --allowed-users and --allowed-groups.",
        )

    async def fetch(self, req, *args, **kwargs):
        """Send a request to the cluster; say what is wrong if it can't be."""
        host = urlsplit(req.url).netloc
        try:
            req.ssl_options = trusted()
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


def configure(c, env, people):
    c.JupyterHub.authenticator_class = OpenShift
    o = c.OpenShift
    o.client_id = f"system:serviceaccount:{env['POD_NAMESPACE']}:{env['SERVICE_ACCOUNT']}"
    if env.get("PUBLIC_URL"):
        o.oauth_callback_url = env["PUBLIC_URL"].rstrip("/") + "/hub/oauth_callback"
    # No page of ours with a button before the cluster's.
    o.auto_login = True
    # The hub remembers who somebody is as long as its cookie lives, and keeps
    # none of the cluster's tokens. It could ask the cluster again and again with
    # one; but those live for 24 hours or less, and at their end an open
    # terminal would turn into a login page in the middle of a workshop.
    o.enable_auth_state = False
    o.auth_refresh_age = 0
    if people.admin_groups or people.allowed_groups:
        o.manage_groups = True
        o.admin_groups, o.allowed_groups = people.admin_groups, people.allowed_groups
