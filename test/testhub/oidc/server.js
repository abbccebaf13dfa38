// SPDX-License-Identifier: Apache-2.0
// An OpenID Connect provider for the tests: real, with users that anybody may
// log in as. What it is to be comes as JSON in the environment variable OIDC.
import { createServer } from "node:http";
import { createServer as createServerTLS } from "node:https";
import { Provider } from "oidc-provider";

const { issuer, cert, key, port, clients, users, ...more } = JSON.parse(process.env.OIDC);

const provider = new Provider(issuer, {
  clients,
  scopes: ["openid", "profile", "email", "groups"],
  claims: { openid: ["sub"], profile: ["preferred_username", "name"], email: ["email", "email_verified"], groups: ["groups", "realm_access"] },
  findAccount: (_, id) => users[id] && { accountId: id, claims: () => ({ sub: id, ...users[id] }) },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } }, // pages to log in, and to allow it
  cookies: { keys: ["test"] },
  ...more,
});
provider.on("server_error", (_, error) => console.error(error));
if (cert) {
  const server = createServerTLS({ cert, key }, provider.callback());
  server.listen(Number(new URL(issuer).port), "127.0.0.1", () => console.log("listening"));
  process.stdin.on("end", () => process.exit()).resume(); // goes with the test
} else { // in a pod, behind an ingress that ends TLS
  provider.proxy = true;
  createServer(provider.callback()).listen(port);
}
