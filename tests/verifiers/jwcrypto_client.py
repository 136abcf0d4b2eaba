"""A service that verifies tokens with jwcrypto: JSON lines in, a verdict for each out.

python jwcrypto_client.py JWKS_URL ISSUER AUDIENCE CACHE_SECONDS

The library has no cache of its own; this one fetches when its time is over, and at no other time.
"""

import json
import sys
import time
import urllib.request

from jwcrypto import common, jwk, jwt

url, issuer, audience, cache = sys.argv[1:]
keys, fetched = None, float("-inf")


def current():
    global keys, fetched
    if time.monotonic() - fetched >= float(cache):
        with urllib.request.urlopen(url, timeout=5) as response:
            keys = jwk.JWKSet.from_json(response.read())
        fetched = time.monotonic()
    return keys


for line in sys.stdin:
    request = json.loads(line)
    verdict = {"id": request["id"], "ok": True}
    try:
        claims = {"iss": issuer, "aud": audience, "exp": None}
        checked = jwt.JWT(check_claims=claims, algs=[request["alg"]], expected_type="JWS")
        checked.leeway = 0
        checked.deserialize(request["token"], current())
    except (common.JWException, ValueError, KeyError, TypeError, OSError) as error:
        verdict.update(ok=False, reason=f"{type(error).__name__}: {error}")
    print(json.dumps(verdict), flush=True)
