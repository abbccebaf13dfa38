# SPDX-License-Identifier: Apache-2.0
"""Login at an OpenID Connect provider: Keycloak, Entra ID, Google, GitLab and many others.

The provider is found by its issuer's URL, whose discovery document has the rest.
The hub keeps no token of theirs.
"""

import base64
import ssl
from urllib.parse import quote_plus

import jwt
from oauthenticator.generic import GenericOAuthenticator
from tornado.httpclient import HTTPClientError
from traitlets import Unicode

from logins import Listed, Refusal, again
from logins_oauth import Elsewhere, answer, remember


class OIDC(Listed, Elsewhere, GenericOAuthenticator):
    issuer = Unicode(config=True)
    groups_claim = Unicode("groups", config=True)

    server = "login service"
    denied = (
        "The login service was not allowed to tell the workshop who you are. Log in again, and choose to allow it; if it doesn't ask, "
        "your account may not use this workshop: tell your trainer."
    )

    def trusted(self):
        # The configuration has put the workshop file's authorities to those of the image.
        return ssl.create_default_context()

    def normalize_username(self, username):
        """Names are taken in lower case, but for the subject, which providers tell apart by case."""
        return username if self.username_claim == "sub" else super().normalize_username(username)

    async def discover(self):
        """Find out the provider's addresses, once they are needed: the hub starts without it."""
        if self.discovered:
            return
        url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            found = await self.httpfetch(url)
            issuer = found["issuer"]
            self.authorize_url, self.token_url = found["authorization_endpoint"], found["token_endpoint"]
        except HTTPClientError as e:
            raise self.lost(f"{url} answers {e.code}.") from e
        except (ValueError, KeyError, TypeError) as e:
            raise self.lost(f"{url} is no discovery document: {e!r}.") from e
        if issuer != self.issuer:
            # Who answers for another issuer could log in people of another one.
            raise self.lost(f"{url} speaks of the issuer {issuer}, not of {self.issuer}.")
        self.userdata_url = found.get("userinfo_endpoint") or ""
        # Basic is what holds if it doesn't say.
        methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        self.basic_auth = "client_secret_basic" in methods
        self.discovered = True

    def lost(self, why):
        return Refusal(
            502,
            "The login service isn't found.",
            f"The workshop can't find out where to log people in. {again}",
            f"{why} --oidc-issuer is the address before /.well-known/openid-configuration, as the provider writes it.",
        )

    def build_token_info_request_headers(self):
        headers = super().build_token_info_request_headers()
        if self.basic_auth:
            # RFC 6749 has both escaped first.
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return headers

    async def get_token_info(self, handler, params):
        try:
            await self.discover()  # the hub may have been restarted meanwhile
            return await super().get_token_info(handler, params)
        except HTTPClientError as e:
            raise Refusal(
                502,
                "The login service refuses the workshop.",
                f"The login service doesn't tell this workshop who you are. {again}",
                f"It answers {e.code}: {answer(e)} The client is {self.client_id}; --oidc-client-id and the client's secret must be what the provider "
                f"has, and the redirect URI there {self.get_callback_url(handler)}.",
            ) from e

    async def token_to_user(self, token_info):
        """The claims of the ID token and, where there is one, of the userinfo endpoint.

        The token comes from the provider itself, by TLS, so its signature tells
        nothing new (OpenID Connect Core 3.1.3.7); whom it is for does.
        """
        try:
            claims = jwt.decode(
                token_info.get("id_token") or "",
                audience=self.client_id,
                issuer=self.issuer,
                leeway=60,
                options={"verify_signature": False, "verify_aud": True, "verify_iss": True, "verify_exp": True, "require": ["sub", "iss", "aud", "exp"]},
            )
        except jwt.InvalidTokenError as e:
            raise Refusal(
                502,
                "The login service's token is none for this workshop.",
                f"The login service doesn't tell this workshop who you are. {again}",
                f"Its ID token: {e}. --oidc-scopes must have openid; the clocks of provider and cluster must agree.",
            ) from e
        if not self.userdata_url:
            return claims
        try:
            more = await super().token_to_user(token_info)
        except HTTPClientError as e:
            raise Refusal(
                502,
                "The login service doesn't say who has logged in.",
                f"The login service doesn't tell this workshop who you are. {again}",
                f"Its userinfo endpoint answers {e.code}: {answer(e)}",
            ) from e
        if not isinstance(more, dict) or more.get("sub") != claims["sub"]:
            raise Refusal(502, "The login service speaks of two people.", f"The login service doesn't tell this workshop who you are. {again}")
        return claims | more

    def user_info_to_username(self, user_info):
        name = user_info.get(self.username_claim)
        if not isinstance(name, str) or not name:
            raise Refusal(
                403,
                f"The login service tells no {self.username_claim}.",
                "The login service tells the workshop no name for your account, so that you can't have a session. Tell your trainer.",
                f"There is no claim {self.username_claim} among {', '.join(sorted(user_info))}. --oidc-username-claim names another one, and --oidc-scopes "
                "asks for more.",
            )
        if self.username_claim == "email" and user_info.get("email_verified") in (False, "false"):
            # Anybody could have typed it there. Some providers send a text.
            raise Refusal(
                403,
                f"The login service has not verified the address {name!r}.",
                f"The login service has not verified your mail address {name}. Do that there, then log in again.",
            )
        return name

    async def get_user_groups(self, auth_state):
        """Those that the workshop asks for; what else somebody belongs to is nobody's business here."""
        found = auth_state[self.user_auth_state_key]
        if self.groups_claim in found:
            found = found[self.groups_claim]
        else:  # a claim in a claim, such as Keycloak's realm_access.roles
            for part in self.groups_claim.split("."):
                found = found.get(part) if isinstance(found, dict) else None
        found = [found] if isinstance(found, str) else found
        groups = {group for group in found if isinstance(group, str)} if isinstance(found, list) else set()
        return groups & (self.admin_groups | self.allowed_groups)


def configure(c, env, people):
    c.JupyterHub.authenticator_class = OIDC
    o = c.OIDC
    o.issuer, o.client_id, o.client_secret = env["OIDC_ISSUER"], env["OIDC_CLIENT_ID"], env["OIDC_CLIENT_SECRET"].strip()
    o.username_claim, o.groups_claim = env["OIDC_USERNAME_CLAIM"], env["OIDC_GROUPS_CLAIM"]
    o.scope = env["OIDC_SCOPES"].split()
    remember(o, env, people)
    if o.username_claim != "sub":
        people.lower()
