# SPDX-License-Identifier: Apache-2.0
"""Login with one password for all, beside a name of one's choice, and a longer one for admins."""

from jupyterhub.authenticators.shared import SharedPasswordAuthenticator

from logins import Listed


class Password(Listed, SharedPasswordAuthenticator):
    async def authenticate(self, handler, data):
        # JupyterHub 5 looks for the name among the admins as it was typed, so
        # that "Trainer" would get into trainer's session with the password of all.
        return await super().authenticate(handler, {**data, "username": self.normalize_username(data["username"])})


def configure(c, env, people):
    people.lower()
    c.JupyterHub.authenticator_class = Password
    c.Password.user_password = env["USER_PASSWORD"]
    if people.admins:  # it complains of a password that is nobody's
        c.Password.admin_password = env["ADMIN_PASSWORD"]
