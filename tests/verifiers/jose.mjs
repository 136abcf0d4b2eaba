// A service that verifies tokens with npm's `jose`: JSON lines in, a verdict for each out.
//
//   node jose.mjs JWKS_URL ISSUER AUDIENCE CACHE_SECONDS
import { createRemoteJWKSet, jwtVerify } from "jose";
import { createInterface } from "node:readline";

const [url, issuer, audience, cache] = process.argv.slice(2);
const jwks = createRemoteJWKSet(new URL(url), {
  cacheMaxAge: Number(cache) * 1000,
  // Never fetched for an unknown kid: a rotation must not need that.
  cooldownDuration: 3_600_000,
});

for await (const line of createInterface({ input: process.stdin })) {
  const { id, token, alg } = JSON.parse(line);
  jwtVerify(token, jwks, { issuer, audience, algorithms: [alg] }).then(
    () => answer({ id, ok: true }),
    (error) => answer({ id, ok: false, reason: `${error.code ?? error.name}: ${error.message}` }),
  );
}

function answer(verdict) {
  process.stdout.write(JSON.stringify(verdict) + "\n");
}
