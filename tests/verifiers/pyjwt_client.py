"""A service that verifies tokens with PyJWT: JSON lines in, a verdict for each out.

python pyjwt_client.py JWKS_URL ISSUER AUDIENCE CACHE_SECONDS
"""

import json
import sys

import jwt

url, issuer, audience, cache = sys.argv[1:]
# Never fetched for an unknown kid: a rotation must not need that.
client = jwt.PyJWKClient(url, lifespan=float(cache), cooldown_duration=3600)

for line in sys.stdin:
    request = json.loads(line)
    verdict = {"id": request["id"], "ok": True}
    try:
        key = client.get_signing_key_from_jwt(request["token"])
        jwt.decode(request["token"], key, algorithms=[request["alg"]], issuer=issuer, audience=audience)
    except jwt.exceptions.PyJWTError as error:
        verdict.update(ok=False, reason=f"{type(error).__name__}: {error}")
    print(json.dumps(verdict), flush=True)
