# SPDX-License-Identifier: Apache-2.0
"""Starts a hub with a jupyterhub_config.py as far as it goes without a cluster, and prints as JSON what the file made of it.

Arguments: the file, and names of users. Each user's pod and claim are those that KubeSpawner would create.
"""

import asyncio
import json
import logging
import sys
from datetime import datetime

from jupyterhub import orm, roles
from jupyterhub.app import JupyterHub
from jupyterhub.utils import maybe_future
from kubernetes_asyncio.client import ApiClient, Configuration

# What JupyterHub and traitlets complain about is a fault of the file.
complaints = []


class Complaints(logging.Handler):
    def emit(self, record):
        complaints.append(record.getMessage())


async def main(path, names):
    app = JupyterHub()
    app.log.addHandler(Complaints(logging.WARNING))
    await app.initialize([f"--config={path}", "--JupyterHub.db_url=sqlite://"])
    pods, claims, refused = {}, {}, {}
    # What goes to the API server, which is not what the models' to_dict says.
    serialize = ApiClient(Configuration()).sanitize_for_serialization
    deleted_with_user = None
    for name in names:
        user = orm.User(name=name)
        app.db.add(user)
        app.db.commit()
        roles.assign_default_roles(app.db, entity=user)
        spawner = app.users[user].spawners[""]
        spawner.api_token, spawner.oauth_client_id = "TOKEN", f"jupyterhub-user-{name}"
        spawner.orm_spawner.started = datetime(2026, 11, 24, 8)
        deleted_with_user = spawner.delete_pvc
        try:
            await maybe_future(spawner.run_pre_spawn_hook())
        except Exception as e:
            # What JupyterHub shows to the user.
            refused[name] = getattr(e, "jupyterhub_message", None) or repr(e)
            continue
        pod = await spawner.get_pod_manifest()
        pods[name] = serialize(spawner.modify_pod_hook(spawner, pod))
        if spawner.storage_pvc_ensure:
            claims[name] = serialize(spawner.get_pvc_manifest())
    return {
        "complaints": complaints,
        "authenticator": type(app.authenticator).__name__,
        "services": {s.name: s.command for s in app._service_map.values()},
        "roles": {r.name: sorted(r.scopes) for r in app.db.query(orm.Role) if r.name in ("workshopctl", "idle-culler")},
        "pods": pods,
        "claims": claims,
        "claimsGoWithUsers": deleted_with_user,
        **({"refused": refused} if refused else {}),
    }


print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2:])), indent=1, sort_keys=True, default=str))
