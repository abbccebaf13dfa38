# SPDX-License-Identifier: Apache-2.0
"""Login with an account of the cluster, by OpenShift's OAuth server.

The hub's service account is the OAuth client: its annotations say where people
may be sent back to, and its token, which Kubernetes renews, is the secret. So
there is nothing to register, and no secret to keep. The only scope asked for
is user:info, who somebody is; the hub keeps no token of theirs.
"""

import functools
import ssl
from pathlib import Path

from oauthenticator.openshift import OpenShiftOAuthenticator
from tornado.httpclient import HTTPClientError
from traitlets import default

from logins import Listed, Refusal, again
from logins_oauth import Elsewhere, answer, remember

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


class OpenShift(Listed, Elsewhere, OpenShiftOAuthenticator):
    server, place = "cluster's login", " to the cluster"
    denied = (
        "You have not let the workshop know who you are at the cluster. It asks for nothing but your name, and needs it to give you "
        "a session of your own: log in again, and choose to allow it."
    )

    def trusted(self):
        return trusted()

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


def configure(c, env, people):
    c.JupyterHub.authenticator_class = OpenShift
    o = c.OpenShift
    o.client_id = f"system:serviceaccount:{env['POD_NAMESPACE']}:{env['SERVICE_ACCOUNT']}"
    remember(o, env, people)
