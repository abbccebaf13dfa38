# SPDX-License-Identifier: Apache-2.0
"""A hub for the tests of its client: sessions are tiny web servers, and routes
are only remembered."""

import asyncio
import os
import sys

from jupyterhub.proxy import Proxy
from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets import Dict

c = get_config()  # noqa: F821


class NoProxy(Proxy):
    routes = Dict()

    async def start(self):
        pass

    async def stop(self):
        pass

    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec):
        self.routes.pop(routespec, None)

    async def get_all_routes(self):
        return self.routes


class Session(SimpleLocalProcessSpawner):
    home_dir_template = os.environ["TEST_DIR"]

    async def start(self):
        if self.user.name == "hopeless":
            raise RuntimeError("no room")
        if self.user.name == "slow":
            await asyncio.sleep(3600)
        return await super().start()


c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.spawner_class = Session
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.hub_bind_url = os.environ["TEST_HUB"]
c.JupyterHub.db_url = "sqlite:///" + os.path.join(os.environ["TEST_DIR"], "hub.sqlite")
c.JupyterHub.cookie_secret = b"x" * 32
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.Authenticator.allow_all = True
if os.environ.get("TEST_ADMIN"):
    c.Authenticator.admin_users = {os.environ["TEST_ADMIN"]}
c.JupyterHub.concurrent_spawn_limit = int(os.environ.get("TEST_SPAWN_LIMIT", 0))
c.JupyterHub.active_server_limit = int(os.environ.get("TEST_SERVER_LIMIT", 0))
c.Spawner.cmd = [sys.executable, os.path.join(os.path.dirname(__file__), "session.py")]
# As in a workshop, and one service more to make users with.
c.JupyterHub.services = [
    {"name": "workshopctl", "api_token": os.environ["TEST_TOKEN"]},
    {"name": "maker", "api_token": os.environ["TEST_MAKER"]},
]
c.JupyterHub.load_roles = [
    {"name": "workshopctl", "scopes": ["admin:users", "list:users", "servers", "tokens", "proxy", "read:hub"], "services": ["workshopctl"]},
    {"name": "maker", "scopes": ["admin:users"], "services": ["maker"]},
]
