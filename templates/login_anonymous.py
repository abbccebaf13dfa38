# SPDX-License-Identifier: Apache-2.0
"""No login: a user is made up for each browser that comes without a cookie."""

import secrets

from jupyterhub.auth import Authenticator

from logins import Prompt

guests = True


class Anonymous(Prompt, Authenticator):
    async def authenticate(self, handler, data):
        return "guest-" + secrets.token_hex(6)


def configure(c, env, people):
    c.JupyterHub.authenticator_class = Anonymous
    c.Anonymous.auto_login = True
