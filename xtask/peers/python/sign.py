"""Signs with sigstore-python's library: `sign.py TRUST_CONFIG TOKEN file|statement INPUT BUNDLE`.

INPUT is the file that is signed: any bytes, or an in-toto statement. The bundle goes to the file BUNDLE.
"""

import sys
from pathlib import Path

from sigstore.dsse import Statement
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext


def main(trust_config: str, token: str, form: str, source: str, target: str) -> None:
    context = SigningContext.from_trust_config(ClientTrustConfig.from_json(Path(trust_config).read_text()))
    content = Path(source).read_bytes()
    with context.signer(IdentityToken(token)) as signer:
        bundle = signer.sign_dsse(Statement(content)) if form == "statement" else signer.sign_artifact(content)
    Path(target).write_text(bundle.to_json())


main(*sys.argv[1:])
