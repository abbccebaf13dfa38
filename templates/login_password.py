# SPDX-License-Identifier: Apache-2.0
"""Login with a name and a password: one of one's own, or else the one that all share.

Admins have a longer one. Passwords of people's own are bcrypt hashes in a Secret,
which `workshopctl users` writes; it is read at each login, so that a change
counts as soon as the cluster has brought the file here.
"""

import asyncio
import json
import time
from collections import deque
from pathlib import Path

from jupyterhub.authenticators.shared import SharedPasswordAuthenticator

from logins import Listed, Refusal, again

try:
    import bcrypt
except ImportError:  # a hub image of somebody's own, which is fine for the password of all
    bcrypt = None

own_passwords = Path("/etc/workshopctl/users/passwords.json")
# As JupyterHub has it for the one that admins share.
admin_length = 32


class Guesses:
    """The wrong passwords of the last minute, and whether that is too many.

    The hub sees one address for all who come through a proxy, so names are
    what there is to count by; the second number is for who tries many names.
    """

    each, all, period = 10, 200, 60

    def __init__(self):
        self.wrong = deque()

    def add(self, name):
        self.wrong.append((time.monotonic(), name))

    def too_many(self, name):
        while self.wrong and self.wrong[0][0] < time.monotonic() - self.period:
            self.wrong.popleft()
        return len(self.wrong) >= self.all or sum(n == name for _, n in self.wrong) >= self.each


def read():
    """The hashes by name; none where nobody has a password of their own."""
    try:
        return {name.lower(): hashed.encode() for name, hashed in json.loads(own_passwords.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as e:
        # Rather nobody than everybody with the password of all.
        raise Refusal(
            500,
            f"The passwords can't be read from {own_passwords}: {e!r}.",
            f"The workshop can't check passwords at the moment. {again}",
            "The Secret with attendees' passwords is damaged. `workshopctl users import` writes it anew after it has been deleted.",
        ) from None


def is_password(password, hashed):
    try:
        return bcrypt.checkpw(password.encode(), hashed)
    except ValueError:  # longer than any that has a hash
        return False


class Password(Listed, SharedPasswordAuthenticator):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.guesses = Guesses()
        # One after the other, so that who guesses many at once is counted, too,
        # and keeps the hub from nothing else.
        self.turn = asyncio.Lock()
        # Takes as long as another, for who has none: the time tells nothing.
        self.nobodys = bcrypt and bcrypt.hashpw(b"", bcrypt.gensalt(10))

    async def authenticate(self, handler, data):
        # JupyterHub 5 looks for the name among the admins as it was typed, so
        # that "Trainer" would get into trainer's session with the password of all.
        name = self.normalize_username(data["username"])
        async with self.turn:
            if self.guesses.too_many(name):
                raise Refusal(
                    403,  # 429 is for a workshop that is full
                    f"Too many wrong passwords for {name!r}.",
                    "There were too many wrong passwords. Wait a minute, then log in again.",
                )
            who = await self.check(handler, name, data)
            if not who:
                self.guesses.add(name)
        return who

    async def check(self, handler, name, data):
        hashes, password = read(), data["password"]
        if hashes and not bcrypt:
            raise Refusal(
                500,
                "The hub's image has no bcrypt.",
                f"The workshop can't check passwords at the moment. {again}",
                "Attendees have passwords of their own, and the image of the hub lacks the Python package bcrypt; --hub-image names another one.",
            )
        if hashes:
            right = await asyncio.to_thread(is_password, password, hashes.get(name, self.nobodys))
            if name in hashes:
                if right and name in self.admin_users and len(password) < admin_length:
                    self.log.warning("%r is an admin with a password of less than %s characters; `workshopctl users password` makes a longer one", name, admin_length)
                    return None
                return name if right else None
        return await super().authenticate(handler, {**data, "username": name})


def configure(c, env, people):
    people.lower()
    c.JupyterHub.authenticator_class = Password
    c.Password.user_password = env["USER_PASSWORD"]
    if people.admins:  # it complains of a password that is nobody's
        c.Password.admin_password = env["ADMIN_PASSWORD"]
