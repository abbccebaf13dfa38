# SPDX-License-Identifier: Apache-2.0
"""Starts a hub with a jupyterhub_config.py as far as it goes without a cluster, and polls sessions whose pods are made up.

Arguments: the file, and as JSON a list of sessions: minutes from now at which they were started, used, and until which
they are kept (or the annotation itself), and at which the proxy saw them used last, after that. Prints as JSON what became
of each.
"""

import asyncio
import json
import sys
from datetime import datetime, timedelta, timezone

from jupyterhub import orm, roles
from jupyterhub.app import JupyterHub
from jupyterhub.objects import Server
from kubespawner.spawner import ResourceReflector

now = datetime.now(timezone.utc).replace(microsecond=0)
# What the hub asks the cluster for.
selectors = []
ResourceReflector.start = lambda self: listed(self)


async def listed(self):
    selectors.append(self.labels)
    self.first_load_future.set_result(None)


def at(minutes):
    return None if minutes is None else (now + timedelta(minutes=minutes)).replace(tzinfo=None)


def since(time):
    return time and round((time.replace(tzinfo=timezone.utc) - now).total_seconds() / 60, 1)


# Whom the hub looks up by their names.
found = []
find = orm.User.find.__func__
orm.User.find = classmethod(lambda cls, db, name: found.append(name) or find(cls, db, name))


async def main(path, sessions):
    app = JupyterHub.instance()
    await app.initialize([f"--config={path}", "--JupyterHub.db_url=sqlite://"])
    done = []

    routes = {"/": {"target": app.hub.host, "jupyterhub": True, "hub": True}}

    async def delete_user(user, name=""):
        done.append("route")

    class Answer:
        """What a proxy says, whatever it is asked: to JupyterHub 5, and to 6."""

        @property
        def body(self):
            return json.dumps(routes).encode()

        async def json(self):
            return json.loads(self.body)

    async def answer(*args, **kwargs):
        return Answer()

    app.proxy.delete_user, app.proxy.api_request = delete_user, answer
    results = {}
    for name, wanted in sessions.items():
        user = orm.User(name=name)
        app.db.add(user)
        app.db.commit()
        roles.assign_default_roles(app.db, entity=user)
        user = app.users[user]
        spawner = user.spawners[""]
        await spawner._start_watching_pods()
        server = orm.Server(proto="http", ip="10.0.0.1", port=10080, base_url=f"/user/{name}/")
        app.db.add(server)
        app.db.commit()
        spawner.server = Server(orm_server=server)
        spawner.orm_spawner.started, spawner.orm_spawner.last_activity = at(wanted["started"]), at(wanted["used"])
        app.db.commit()
        annotations = {}
        if isinstance(wanted.get("kept"), str):
            annotations["workshopctl.io/keep-until"] = wanted["kept"]
        elif wanted.get("kept") is not None:
            annotations["workshopctl.io/keep-until"] = (now + timedelta(minutes=wanted["kept"])).strftime("%Y-%m-%dT%H:%M:%SZ")
        key = f"{spawner.namespace}/{spawner.pod_name}"
        spawner.pod_reflector.resources[key] = {
            "metadata": {"name": spawner.pod_name, "annotations": annotations},
            "spec": {"containers": []},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [{"name": "notebook", "ready": False, "state": {"running": {}}}]},
        }

        async def stop(now=False, spawner=spawner, key=key):
            del spawner.pod_reflector.resources[key]
            done.append("pod")

        spawner.stop = stop
        done.clear()
        found.clear()
        spawner.start_polling()
        status = await spawner.poll_and_notify()
        if "seen" in wanted:
            seen = wanted["seen"]
            routes[f"/user/{name}"] = {
                "target": "http://10.0.0.1:10080",
                "jupyterhub": True,
                "user": name,
                "server_name": "",
                "last_activity": seen if isinstance(seen, str) else at(seen).isoformat(timespec="milliseconds") + "Z",
            }
            await app.update_last_activity()
            del routes[f"/user/{name}"]
            app.db.rollback()  # what wasn't saved
        used = spawner.orm_spawner.last_activity
        results[name] = {
            "found": len(found),
            "user": since(user.orm_user.last_activity),
            "stopped": list(done),
            "status": status,
            "active": user.active,
            "used": None if done else since(used),
            "environment": {k: v for k, v in spawner.get_env().items() if k.startswith("WORKSHOP_")},
        }
    return {"sessions": results, "selectors": selectors}


print(json.dumps(asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]))), indent=1, sort_keys=True))
