"""Who may do what: tokens of the endpoints, the keys that sign them, and the daemon's own admin token.

The gateway verifies tokens by itself with the same keys; `verify` here decides exactly as it does, for the API, `token
inspect` and the memory gateway.
"""

from orchestrator.auth.admin import admin_token
from orchestrator.auth.certificates import Certificate, open_certificate
from orchestrator.auth.keys import KeyRing, SigningKey
from orchestrator.auth.tokens import NEVER, Claims, decode, issue, verify

__all__ = [
    "NEVER",
    "Certificate",
    "Claims",
    "KeyRing",
    "SigningKey",
    "admin_token",
    "decode",
    "issue",
    "open_certificate",
    "verify",
]
