# SPDX-License-Identifier: Apache-2.0
"""The address of a workshop whose Route's host nobody knew when it was deployed.

The hub must know the address that browsers use: the cluster's login sends
attendees back to it, and cookies are marked as Secure by it. A Template is
processed before there is a Route, and a host that the cluster assigns can't be
known by then. So the hub asks for the Route itself when it starts; its Role
lets it get that one. Headers like X-Forwarded-Host would do for
pages, but come with a request, and anybody can send them.
"""

import json
import ssl
import sys
import time
import urllib.request
from pathlib import Path

api_server = "https://kubernetes.default.svc"
account = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# As long as Route, Role and router may take to be there when all is new.
patience = 120


def address(namespace, route):
    """The URL of a Route, with a slash at its end. Ends the hub with the reason where there is none."""
    problem = ""
    for attempt in range(patience):
        if attempt:
            time.sleep(1)
        try:
            spec = get(f"/apis/route.openshift.io/v1/namespaces/{namespace}/routes/{route}")["spec"]
        except OSError as e:  # of the connection, or an answer like 403 or 404
            problem = str(e)
            continue
        if spec.get("host"):
            return f"{'https' if spec.get('tls') else 'http'}://{spec['host']}/"
        problem = "it has no host"
    sys.exit(
        f"The hub can't find out its address from the route {route}: {problem}. "
        "Its account needs the right to get that route; or set PUBLIC_URL to the address that browsers use, like https://workshop.example.com/"
    )


def get(path):
    """What the API server answers to the hub's account."""
    request = urllib.request.Request(api_server + path, headers={"Authorization": "Bearer " + (account / "token").read_text().strip()})
    context = ssl.create_default_context(cafile=account / "ca.crt")
    # As oc and kubectl see it: old authorities of clusters lack what newer rules ask for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    https = urllib.request.HTTPSHandler(context=context)
    # Not by way of a proxy, whatever the environment says.
    with urllib.request.build_opener(urllib.request.ProxyHandler({}), https).open(request, timeout=10) as answer:
        return json.load(answer)
