# SPDX-License-Identifier: Apache-2.0
"""The hub of the gateway's integration test: sessions are processes here."""
import ast
import os
import sys
from pathlib import Path

from jupyterhub.auth import DummyAuthenticator
from jupyterhub.spawner import SimpleLocalProcessSpawner

c = get_config()  # noqa: F821
E = os.environ


class Spawner(SimpleLocalProcessSpawner):
    def user_env(self, env):
        os.makedirs(self.home_dir, exist_ok=True)
        return {**env, "HOME": self.home_dir, "SHELL": "/bin/bash", "PS1": "$ "}

    async def start(self):
        if self.user.name == "carol":
            # Long after the test: hers learns of a logout from the hub, or never.
            self.cmd = [part.replace("=1s", "=1h") for part in self.cmd]
        return await super().start()


# Of the workshop's own configuration, which needs a cluster, what makes logouts
# prompt, and what a session's token may do.
own = ast.parse(Path(E["TEST_WORKSHOP_CONFIG"]).read_text())
scopes = [ast.literal_eval(part.value) for part in own.body if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "s.server_token_scopes"]
c.Spawner.server_token_scopes = scopes[0]
sys.path.insert(0, os.path.dirname(E["TEST_WORKSHOP_CONFIG"]))
from logins import Prompt  # noqa: E402


class Authenticator(Prompt, DummyAuthenticator):
    """Lets in everybody, as the name that they say."""


c.JupyterHub.spawner_class = Spawner
c.SimpleLocalProcessSpawner.home_dir_template = E["TEST_DIR"] + "/home/{username}"
c.Spawner.cmd = [E["TEST_GATEWAY"], "serve", "--check-every=1s", "--keep-alive=100ms"]
c.Spawner.env_keep = ["PATH"]
c.Spawner.environment = {"WORKSHOP_NAME": "Integration"}
c.JupyterHub.authenticator_class = Authenticator
c.Authenticator.allow_all = True
c.JupyterHub.bind_url = E["TEST_PUBLIC"]
c.JupyterHub.hub_bind_url = E["TEST_HUB"]
c.JupyterHub.cookie_secret = b"0" * 32
c.JupyterHub.cleanup_servers = False
c.JupyterHub.last_activity_interval = 1
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = E["TEST_PROXY_API"]
c.JupyterHub.services = [{"name": "test", "api_token": E["TEST_TOKEN"]}]
c.JupyterHub.load_roles = [{"name": "test", "services": ["test"], "scopes": ["admin:users", "admin:servers", "tokens", "read:hub"]}]
