# SPDX-License-Identifier: Apache-2.0
"""How JupyterHub runs a workshop. For JupyterHub 5.5 to 6.1 with KubeSpawner 7.0 to 7.1.

How attendees log in is in login_AUTH.py, a file for each kind.
What differs from workshop to workshop comes from the environment, where it is
one value (`kubectl set env deployment/terminals TERMINAL_IMAGE=…` takes effect
like any other way to set it), and from session.json beside this file, where it
is a map or a list.
"""

import asyncio
import html
import importlib
import json
import os
import re
import ssl
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from jupyterhub.app import JupyterHub
from jupyterhub.proxy import ConfigurableHTTPProxy
from kubernetes_asyncio.client import ApiException, CustomObjectsApi
from kubespawner.spawner import KubeSpawner, PodReflector

c = get_config()  # noqa: F821 (JupyterHub puts it there)
env = os.environ
name = env["WORKSHOP_NAME"]
here = Path(__file__).parent
sys.path.insert(0, str(here))
import logins  # noqa: E402 (beside this file)

session = json.loads((here / "session.json").read_text())
ca_bundle = here / "ca-bundle.crt"

# ---- The hub itself

c.JupyterHub.hub_bind_url = "http://:8081"  # every address, IPv4 and IPv6
c.JupyterHub.hub_connect_url = f"http://{name}-hub:8081"
if env.get("ROUTE") and not env.get("PUBLIC_URL"):
    import route_address

    env["PUBLIC_URL"] = route_address.address(env["POD_NAMESPACE"], env["ROUTE"])
if env.get("PUBLIC_URL"):
    # Without it the hub takes what it sees for the address: http, where TLS
    # ends before it, and cookies without the mark Secure.
    c.JupyterHub.public_url = env["PUBLIC_URL"]
c.JupyterHub.db_url = "sqlite:////srv/jupyterhub/jupyterhub.sqlite"
c.JupyterHub.upgrade_db = True
c.JupyterHub.cookie_secret = bytes.fromhex(env["COOKIE_SECRET"])
c.CryptKeeper.keys = [env["CRYPT_KEY"]]
# A stopped hub leaves sessions and proxy alone: a restart drops no terminal.
c.JupyterHub.cleanup_servers = False
# How often the proxy is asked who was active (the culler goes by that), and how
# soon a restarted proxy has its routes back: all terminals wait for that.
c.JupyterHub.last_activity_interval = 15
# A class starts all at once. A limit would send the last ones away with an
# error; the namespace's quota and the nodes are what there is to share.
c.JupyterHub.concurrent_spawn_limit = 0
# How many sessions there may be at once, those that start or stop among them; 0
# is any number. Who comes when it is full gets 429.html.
c.JupyterHub.active_server_limit = limit = int(env.get("SESSION_LIMIT") or 0)
# page.html beside this file is what all pages have, over JupyterHub's own.
c.JupyterHub.template_paths = [str(here)]
c.JupyterHub.template_vars = {"workshop": name, "session_limit": limit}
# Straight to the page that shows what a starting session waits for.
c.JupyterHub.tornado_settings = {
    "slow_spawn_timeout": 0,
    # JupyterHub's pages have scripts in them, hence 'unsafe-inline'; nothing comes
    # from elsewhere or goes there, and nobody shows them in a frame.
    "headers": {
        "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'self'; frame-ancestors 'none'",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    },
}
if env.get("SUBDOMAINS"):
    # Each session on a host of its own, below the hub's: what an attendee
    # serves there is another origin to the browser.
    c.JupyterHub.subdomain_host = env["PUBLIC_URL"].rstrip("/")
    # Sessions could plant cookies for all of the domain; the hub and the
    # gateway take none that isn't bound to their own host.
    c.JupyterHub.cookie_host_prefix_enabled = env["PUBLIC_URL"].startswith("https:")

if ca_bundle.exists():
    # OpenSSL takes one file: the image's certificates and ours.
    merged = Path(tempfile.gettempdir()) / "ca-bundle.crt"
    system = ssl.get_default_verify_paths().cafile
    merged.write_text((Path(system).read_text() if system else "") + "\n" + ca_bundle.read_text())
    env["SSL_CERT_FILE"] = str(merged)

# ---- The proxy, a Deployment of its own


class PatientProxy(ConfigurableHTTPProxy):
    """Waits for a proxy that isn't there yet, and tells who was active in little time.

    At the first deploy both start at the same time, and the hub would end if it
    was the first.
    """

    async def get_all_routes(self, *args):
        routes = await self.routes_once_there(*args)
        self.take_activity(routes)
        return routes

    async def routes_once_there(self, *args):
        for _ in range(120):
            try:
                return await super().get_all_routes(*args)
            except OSError:  # refused, or no route yet
                await asyncio.sleep(0.5)
        return await super().get_all_routes(*args)

    def take_activity(self, routes):
        """Notes when sessions were used last, as the hub would by itself.

        But that looks each of the users up in the database, which keeps the hub
        from all else for 4 seconds if there are 2,000. The hub saves it.
        """
        for user in self.app.users.values():
            for spawner in user.spawners.values():
                data = routes.get(spawner.proxy_spec, {}).get("data", {})
                try:
                    used = datetime.fromisoformat(data.get("last_activity", "").replace("Z", "+00:00"))
                    used = used.astimezone(timezone.utc).replace(tzinfo=None)
                except ValueError:
                    continue  # no time
                del data["last_activity"]  # nothing is left to look up
                for of in user.orm_user, spawner.orm_spawner:
                    if not of.last_activity or of.last_activity < used:
                        of.last_activity = used


c.JupyterHub.proxy_class = PatientProxy
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = f"http://{name}-proxy-api:8001"
c.ConfigurableHTTPProxy.auth_token = env["CONFIGPROXY_AUTH_TOKEN"]

# ---- Who may log in, and how: login_AUTH.py beside this file

kinds = sorted(file.stem.removeprefix("login_") for file in here.glob("login_*.py"))
if env["AUTH"] not in kinds:
    sys.exit(f"AUTH is {env['AUTH']!r}; this hub knows {', '.join(kinds)}")
login = importlib.import_module("login_" + env["AUTH"])
guests = getattr(login, "guests", False)
people = logins.People(env)
login.configure(c, env, people)

c.Authenticator.admin_users = people.admins
c.Authenticator.allow_all = not (people.allowed or people.allowed_groups)
c.Authenticator.allowed_users = people.allowed | people.admins if people.allowed else set()
# Who is taken off the list stays out, even if the database knows them.
c.Authenticator.allow_existing_users = False

# ---- Sessions: the pods that attendees work in


def literal(value):
    """The value such that KubeSpawner, which fills in {placeholders}, leaves it as it is."""
    return value.replace("{", "{{").replace("}", "}}")


def started(spawner):
    """When the hub began to start the session, from which its age counts."""
    at = spawner.orm_spawner.started or datetime.now(timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


# Kept apart from /opt/workshop, which images of 2018 own.
tools = "/opt/workshopctl"
about = "/etc/workshopctl"
home = "/opt/app-root"
# Where an image stream was chosen, both have it, so that who sets another
# TERMINAL_IMAGE by hand outdoes it.
image = env.get("TERMINAL_IMAGE") or env.get("IMAGE_STREAM") or sys.exit("TERMINAL_IMAGE is not set: no session could start")
container_security = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
# They write to nothing but their volumes; attendees may write where the image lets them.
init_security = container_security | {"readOnlyRootFilesystem": True}
# As written in the Spec: KubeSpawner's own traits don't know units like Mi.
# The init containers have the same, which costs nothing (Kubernetes counts the
# largest) and fits wherever the session itself fits.
resources = {
    "requests": {"cpu": env["CPU_REQUEST"], "memory": env["MEMORY_REQUEST"]},
    "limits": {"cpu": env["CPU_LIMIT"], "memory": env["MEMORY_LIMIT"]},
}

idle_timeout, max_age = int(env["IDLE_TIMEOUT"]), int(env.get("MAX_AGE") or 0)


class Session(KubeSpawner):
    """A session that is kept as long as its pod says, and else ends at its greatest age.

    The culler knows of neither. It goes by when a session was last used, and so
    that is moved where a session is to be kept.
    """

    async def _start_watching_pods(self, replace=False):
        # KubeSpawner's own would hold the sessions of all workshops of the namespace.
        return await self._start_reflector(
            kind="pods",
            reflector_class=PodReflector,
            labels={"app": name, "component": self.component_label},
            omit_namespace=False,
            replace=replace,
        )

    def kept_until(self):
        """What the pod's annotation says, None if that is nothing or no time."""
        pods = self.pod_reflector.pods if self.pod_reflector else {}
        pod = pods.get(f"{self.namespace}/{self.pod_name}") or {}
        value = (pod.get("metadata", {}).get("annotations") or {}).get("workshopctl.io/keep-until")
        # RFC 3339, which is a part of what Python reads.
        if not value or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value, re.ASCII):
            return None
        try:
            return datetime.fromisoformat(re.sub(r"\.\d+", "", value).replace("Z", "+00:00")).astimezone(timezone.utc)
        except (ValueError, OverflowError):  # the 30th of February
            return None

    def keep(self):
        """Has a session that is kept look as if it had been used, but no later than needed."""
        now, until = datetime.now(timezone.utc), self.kept_until()
        if not idle_timeout or not until or until <= now:
            return
        timeout = timedelta(seconds=idle_timeout)
        used = self.orm_spawner.last_activity  # UTC, without saying so
        if used and used.replace(tzinfo=timezone.utc) + timeout > now + timedelta(seconds=60):
            return  # not before this looks again
        for_now = now + min(timeout, timedelta(seconds=150))
        self.orm_spawner.last_activity = (min(for_now, until) - timeout).replace(tzinfo=None)
        self.db.commit()

    async def poll(self):
        # Every 30 seconds, and when a hub starts, before the culler looks.
        status = await super().poll()
        if status is None and self.server:
            self.keep()
        return status

    def overdue(self):
        """Whether the session is as old as one may get, and nobody keeps it."""
        started, now, until = self.orm_spawner.started, datetime.now(timezone.utc), self.kept_until()
        if not max_age or not started or until and until > now:
            return False
        return started.replace(tzinfo=timezone.utc) + timedelta(seconds=max_age) <= now

    async def poll_and_notify(self):
        # Here and not in poll(), which others ask as well: who is told that a
        # session has ended would leave its pod alone.
        status = await super().poll_and_notify()
        if status is not None or not self.ready or not self.overdue():
            return status
        self.log.info("Stopping server %s, which has reached the greatest age of %s", self._log_name, timedelta(seconds=max_age))
        # As the hub does it when it is asked to: nobody is led there any more,
        # and then the session ends.
        self._stop_pending = True
        try:
            await JupyterHub.instance().proxy.delete_user(self.user, self.name)
            await self.user.stop(self.name)
        finally:
            self._stop_pending = False
        return 0


s = c.KubeSpawner
c.JupyterHub.spawner_class = Session

# Names are NAME--SLUG. A workshop's name holds no "--", so no user, whatever
# they are called, gets an object that is the workshop's own or another
# workshop's. (KubeSpawner would take the hub's claim for that of a user "hub".)
s.enable_user_namespaces = False
s.pod_name_template = s.pvc_name_template = f"{name}--{{user_server}}"
labels = {
    "app": name,
    "app.kubernetes.io/name": "workshop",
    "app.kubernetes.io/instance": name,
    "app.kubernetes.io/part-of": "workshopctl",
    "app.kubernetes.io/managed-by": "kubespawner",
}
s.component_label = "session"
s.common_labels = labels
s.extra_labels = s.storage_extra_labels = session["labels"]
annotations = {k: literal(v) for k, v in session["annotations"].items()}
s.extra_annotations = s.storage_extra_annotations = annotations

# No pull policy: Kubernetes pulls :latest anew each time and other tags once.
s.image = image
s.image_pull_policy = None
s.image_pull_secrets = session["imagePullSecrets"]
s.ip = ""  # the gateway then listens on every address, IPv4 and IPv6
s.port = 10080
s.environment = {key: literal(value) for key, value in session["env"].items()} | {"WORKSHOP_NAME": name}
# For the count-down in the page: what the pod says of itself, the volume `about`
# below, changes while the session runs.
s.environment["WORKSHOP_KEEP_UNTIL_FILE"] = f"{about}/keep-until"
if idle_timeout:
    s.environment["WORKSHOP_IDLE_TIMEOUT"] = str(idle_timeout)
if max_age:
    s.environment["WORKSHOP_MAX_AGE"] = str(max_age)
    s.environment["WORKSHOP_STARTED"] = started
# What a session's own token may do: tell that it is used, and stop itself, which
# its attendee may ask for in the page's menu.
s.server_token_scopes = ["users:activity!user", "access:servers!server", "delete:servers!server"]
for variable in ("PORTS", "NOTES_PATH", "NOTES_URL", "NOTES_ORIGINS"):
    if env.get(variable):
        s.environment[f"WORKSHOP_{variable}"] = literal(env[variable])
if env.get("UPLOAD_LIMIT"):
    s.environment["WORKSHOP_UPLOAD_LIMIT"] = env["UPLOAD_LIMIT"]
s.extra_container_config = {
    # Not s.cmd, which would become the arguments of the image's own entrypoint.
    "command": [f"{tools}/workshop-terminal", "serve"],
    "resources": resources,
}
s.container_security_context = container_security
# On the pod, so that it holds for the init containers too.
s.pod_security_context = session["podSecurityContext"]
s.automount_service_account_token = False
s.node_selector = session["nodeSelector"]
s.tolerations = session["tolerations"]
s.extra_pod_config = {
    "enableServiceLinks": False,
    # The pause process then reaps what shells leave behind.
    "shareProcessNamespace": True,
    "terminationGracePeriodSeconds": 5,
}
s.delete_grace_period = 5

# The gateway copies itself into the pod, then fills the volume from the image
# if that wasn't done before.
tools_volume = {"name": "workshopctl", "emptyDir": {}}
tools_mount = {"name": "workshopctl", "mountPath": tools, "readOnly": True}
keep_until = {"path": "keep-until", "fieldRef": {"fieldPath": "metadata.annotations['workshopctl.io/keep-until']"}}
about_volume = {"name": "about", "projected": {"sources": [{"downwardAPI": {"items": [keep_until]}}]}}
about_mount = {"name": "about", "mountPath": about, "readOnly": True}
if env["STORAGE_SIZE"] in ("", "0"):
    home_volume = {"name": "home", "emptyDir": {}}
else:
    home_volume = {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}
    s.storage_pvc_ensure = True
    s.storage_capacity = env["STORAGE_SIZE"]
    s.storage_access_modes = ["ReadWriteOnce"]
    if env.get("STORAGE_CLASS"):
        s.storage_class = env["STORAGE_CLASS"]
# A click on "delete user" must not cost an attendee's files. What nobody can
# come back to may go with its user.
s.delete_pvc = guests
if guests or env["STORAGE_SIZE"] in ("", "0"):
    s.environment["WORKSHOP_FILES"] = "lost"  # as the page has to say
s.volumes = [home_volume, tools_volume, about_volume]
s.volume_mounts = [{"name": "home", "mountPath": home}, tools_mount, about_mount]
s.init_containers = [
    {
        "name": "gateway",
        "image": literal(env["GATEWAY_IMAGE"]),
        "args": ["install", tools],
        "resources": resources,
        "securityContext": init_security,
        "volumeMounts": [{"name": "workshopctl", "mountPath": tools}],
    },
    {
        "name": "seed",
        "image": literal(image),
        "command": [f"{tools}/workshop-terminal", "seed", home, "/mnt/home"],
        # The image's own working directory may lie on the volume.
        "workingDir": "/",
        "resources": resources,
        "securityContext": init_security,
        "volumeMounts": [tools_mount, {"name": "home", "mountPath": "/mnt/home"}],
    },
]
# Certificates lie beside it: a path has room for one volume.
beside = about_volume["projected"]["sources"]
if ca_bundle.exists():
    # The gateway adds these certificates to those of the image.
    beside.append({"configMap": {"name": f"{name}-hub", "items": [{"key": "ca-bundle.crt", "path": "ca-bundle.crt"}]}})
    s.environment["WORKSHOPCTL_CA_BUNDLE"] = f"{about}/ca-bundle.crt"
if env.get("API_SERVER"):
    # The gateway makes a kubeconfig of it. Sessions have no account of their
    # own, which would bring these certificates.
    beside.append({"configMap": {"name": "kube-root-ca.crt", "optional": True, "items": [{"key": "ca.crt", "path": "cluster-ca.crt"}]}})
    s.environment["WORKSHOPCTL_API_SERVER"] = literal(env["API_SERVER"])
    s.environment["WORKSHOPCTL_CLUSTER_CA"] = f"{about}/cluster-ca.crt"


def unexpanded(spawner, pod):
    """Keep Kubernetes from filling in $(VARIABLES): nothing here uses them, and values may hold dollars."""
    for variable in pod.spec.containers[0].env:
        if variable.value:
            variable.value = variable.value.replace("$", "$$")
    return pod


s.modify_pod_hook = unexpanded

# ---- Image streams: a tag is looked up at each start of a session, so that
# `oc tag` alone gives new sessions another image.


class NoImage(Exception):
    """What an attendee reads instead of a terminal."""

    def __init__(self, message):
        super().__init__(message)
        self.jupyterhub_message = message
        self.jupyterhub_html_message = f"<p>{html.escape(message)}</p>"


def stream_tag():
    """Project, name and tag of the image stream tag that sessions run, and whether it can be nothing else; None for an image name."""
    surely = image == env.get("IMAGE_STREAM")
    if not surely and ("/" in image or "@" in image or not session.get("imageStreams")):
        return None
    project, _, tagged = image.rpartition("/")
    stream, _, tag = tagged.partition(":")
    return project or env["POD_NAMESPACE"], stream, tag or "latest", surely


async def look_up(api, project, name):
    """The image stream tag of that name; a server that doesn't answer is asked again for a while."""
    for pause in (1, 3, 9, 0):
        try:
            return await CustomObjectsApi(api).get_namespaced_custom_object(
                "image.openshift.io", "v1", project, "imagestreamtags", name, _request_timeout=30
            )
        except ApiException as e:
            if not pause or e.status not in (429, 500, 502, 503, 504):
                raise
        except (OSError, asyncio.TimeoutError):
            if not pause:
                raise
        await asyncio.sleep(pause)


def run(spawner, reference, also):
    """Has the session run that image, with these annotations beside the others."""
    spawner.image = reference
    spawner.init_containers = [{**c, "image": literal(reference)} if c["name"] == "seed" else c for c in spawner.init_containers]
    spawner.extra_annotations = annotations | also


async def find_image(spawner):
    """Gives a session the image that its image stream tag has now, by digest."""
    run(spawner, image, {})  # not what it had the last time
    found = stream_tag()
    if not found:
        return
    project, stream, tag, surely = found
    where = "" if project == env["POD_NAMESPACE"] else f" of project {project}"
    try:
        answer = await look_up(spawner.api.api_client, project, f"{stream}:{tag}")
    except ApiException as e:
        try:
            status = json.loads(e.body)
        except (TypeError, ValueError):
            status = {}
        of_stream = (status.get("details") or {}).get("kind") == "imagestreams"
        if e.status == 404 and of_stream and not surely:
            return  # the name of an image, as it says
        spawner.log.error("Image stream tag %s:%s in project %s: %s %s", stream, tag, project, e.status, status.get("message") or e.reason)
        problem = f"the cluster answers {e.status} {e.reason}. Try again"
        if e.status == 404 and of_stream:
            problem = f"there is no image stream {stream}{where}. Please tell your trainer"
        elif e.status == 404:
            problem = f"image stream {stream}{where} has no image with the tag {tag}. Please tell your trainer"
        elif e.status == 403:
            account = re.search("system:serviceaccount:[a-z0-9.:-]+", status.get("message") or "")
            line = f"oc policy add-role-to-user registry-viewer {account.group() if account else 'ACCOUNT'} -n {project}"
            problem = f"the hub may not read image stream {stream}{where}. Please tell your trainer, who can have it allowed: {line}"
        raise NoImage(f"Your session's image can't be found: {problem}.") from None
    except (OSError, asyncio.TimeoutError) as e:
        spawner.log.error("Image stream tag %s:%s in project %s: %r", stream, tag, project, e)
        raise NoImage("Your session's image can't be found: the cluster does not answer. Try again.") from None
    by_digest = (answer.get("image") or {}).get("dockerImageReference")
    if not by_digest:
        raise NoImage(f"Your session's image can't be found: image stream {stream}{where} has no image with the tag {tag} yet. Please tell your trainer.")
    spawner.log.info("%s runs %s:%s of project %s, %s", spawner._log_name, stream, tag, project, by_digest)
    run(spawner, by_digest, {"workshopctl.io/image-stream-tag": f"{project}/{stream}:{tag}"})


if session.get("imageStreams"):
    s.pre_spawn_hook = find_image

# Time for a large image to be pulled; what is being waited for is on the page.
s.start_timeout = 300
s.http_timeout = 60
# The hub stays up, however many sessions in a row don't start.
s.consecutive_failure_limit = 0
# A busy API server is given time: a request that is repeated too early finds
# the pod that the first one made, and replaces it.
s.k8s_api_request_timeout = 30
s.k8s_api_request_retry_timeout = 120

# ---- Services, and what each may do

c.JupyterHub.services = [{"name": "workshopctl", "api_token": env["WORKSHOPCTL_API_TOKEN"]}]
c.JupyterHub.load_roles = [
    {
        "name": "workshopctl",
        "description": "The command line: looks at users, makes and deletes them, starts and stops sessions, makes tokens, tells the hub to set the proxy's routes.",
        # JupyterHub has no smaller scope than admin:users that makes users. It
        # lets a service make no admins and into nobody's session, and who is
        # admin is decided anew at each login.
        "scopes": ["admin:users", "list:users", "servers", "tokens", "proxy", "read:hub"],
        "services": ["workshopctl"],
    }
]

if idle_timeout:
    # Often enough to stop a session soon after its time, seldom enough to be
    # no load: every 30 seconds to 5 minutes.
    interval = max(30, min(idle_timeout // 10, 300))
    culler = {
        "name": "idle-culler",
        "command": [
            sys.executable,
            "-m",
            "jupyterhub_idle_culler",
            # The Service has no endpoint before the hub is up, and this asks at once.
            "--url=http://127.0.0.1:8081/hub/api",
            f"--timeout={idle_timeout}",
            f"--cull-every={interval}",
        ],
    }
    scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
    if guests:
        # Nobody can come back as one of them.
        culler["command"].append("--cull-users=true")
        scopes.append("delete:users")
    c.JupyterHub.services.append(culler)
    c.JupyterHub.load_roles.append({"name": "idle-culler", "scopes": scopes, "services": ["idle-culler"]})
