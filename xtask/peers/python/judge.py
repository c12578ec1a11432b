"""Judges bundles with sigstore-python's library: `judge.py TRUSTED_ROOT QUESTIONS`.

QUESTIONS is a JSON array of {"bundle", "artifact", "identity", "issuer"}, the first two being files. Each question is
answered by one JSON line: {"accepted": true} or {"accepted": false, "why": "..."}. What could not be judged ends the
program.
"""

import hashlib
import json
import sys
from pathlib import Path

from sigstore.errors import VerificationError
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity


def judge(verifier: Verifier, question: dict[str, str]) -> None:
    """Raises VerificationError unless the bundle is this identity's signature of the artifact."""
    bundle = Bundle.from_json(Path(question["bundle"]).read_bytes())
    artifact = Path(question["artifact"]).read_bytes()
    policy = Identity(identity=question["identity"], issuer=question["issuer"])
    if bundle._dsse_envelope is None:
        verifier.verify_artifact(artifact, bundle, policy)
        return
    # The library returns the payload and leaves the subjects to the caller. Its own command line reads them with a model
    # that insists on a name, which cosign does not write, so they are compared here.
    _, payload = verifier.verify_dsse(bundle, policy)
    digest = hashlib.sha256(artifact).hexdigest()
    if all(subject["digest"].get("sha256") != digest for subject in json.loads(payload)["subject"]):
        raise VerificationError(f"no subject of the statement has the digest {digest}")


def main(trusted_root: str, questions: str) -> None:
    verifier = Verifier(trusted_root=TrustedRoot.from_file(trusted_root))
    for question in json.loads(Path(questions).read_bytes()):
        try:
            judge(verifier, question)
        except VerificationError as error:
            print(json.dumps({"accepted": False, "why": str(error)}))
        else:
            print(json.dumps({"accepted": True}))


main(*sys.argv[1:])
