"""A token issuer for tests: its keys, its key set, and tokens."""

import json
from time import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ISSUER, AUDIENCE = "https://login.hospital.example", "chest-xray"

RSA, STRANGERS, *OTHERS = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(4)]
EC = ec.generate_private_key(ec.SECP256R1())


def public(key, kid, algorithm):
    maker = jwt.algorithms.ECAlgorithm if algorithm.startswith("ES") else jwt.algorithms.RSAAlgorithm
    return json.loads(maker.to_jwk(key.public_key())) | {"kid": kid, "use": "sig", "alg": algorithm}


KEY_SET = {"keys": [public(RSA, "r1", "RS256"), public(EC, "e1", "ES256")]}


def token(key=RSA, kid="r1", algorithm="RS256", headers=None, **changes):
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "dr_who", "exp": int(time()) + 600, "roles": ["clinician"]} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm, ({} if kid is None else {"kid": kid}) | (headers or {}))
