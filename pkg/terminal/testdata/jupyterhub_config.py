# SPDX-License-Identifier: Apache-2.0
"""The hub of the gateway's integration test: sessions are processes here."""
import os

from jupyterhub.spawner import SimpleLocalProcessSpawner

c = get_config()  # noqa: F821
E = os.environ


class Spawner(SimpleLocalProcessSpawner):
    def user_env(self, env):
        os.makedirs(self.home_dir, exist_ok=True)
        return {**env, "HOME": self.home_dir, "SHELL": "/bin/bash", "PS1": "$ "}


c.JupyterHub.spawner_class = Spawner
c.SimpleLocalProcessSpawner.home_dir_template = E["TEST_DIR"] + "/home/{username}"
c.Spawner.cmd = [E["TEST_GATEWAY"], "serve", "--check-every=1s", "--keep-alive=100ms"]
c.Spawner.env_keep = ["PATH"]
c.Spawner.environment = {"WORKSHOP_NAME": "Integration"}
c.JupyterHub.authenticator_class = "dummy"
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
