// Judges bundles with sigstore-js's library: `judge.mjs PACKAGES TRUSTED_ROOT QUESTIONS`, PACKAGES being the folder of node_modules.
//
// QUESTIONS is a JSON array of {"bundle", "artifact", "identity", "issuer"}, the first two being files. Each question is
// answered by one JSON line: {"accepted": true} or {"accepted": false, "why": "..."}. What could not be judged ends the program.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [packages, trustedRoot, questions] = process.argv.slice(2);
const require = createRequire(`${packages}/`);
const { bundleFromJSON, isBundleWithDsseEnvelope } = require("@sigstore/bundle");
const { TrustedRoot } = require("@sigstore/protobuf-specs");
const { PolicyError, toSignedEntity, toTrustMaterial, VerificationError, Verifier } = require("@sigstore/verify");

const json = (file) => JSON.parse(readFileSync(file, "utf8"));
const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(json(trustedRoot))));

class SubjectError extends Error {}

function judge({ bundle: file, artifact: content, identity, issuer }) {
  const bundle = bundleFromJSON(json(file));
  const artifact = readFileSync(content);
  // A text would be a pattern that may match anywhere in the name.
  const exactly = new RegExp(`^${identity.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`);
  const policy = { subjectAlternativeName: exactly, extensions: { issuer } };
  if (!isBundleWithDsseEnvelope(bundle)) {
    verifier.verify(toSignedEntity(bundle, artifact), policy);
    return;
  }
  verifier.verify(toSignedEntity(bundle), policy);
  // The library does not read the statement.
  const digest = createHash("sha256").update(artifact).digest("hex");
  const statement = JSON.parse(bundle.content.dsseEnvelope.payload.toString("utf8"));
  if (!statement.subject.some((subject) => subject.digest.sha256 === digest)) {
    throw new SubjectError(`no subject of the statement has the digest ${digest}`);
  }
}

for (const question of json(questions)) {
  try {
    judge(question);
    console.log(JSON.stringify({ accepted: true }));
  } catch (error) {
    if (![PolicyError, SubjectError, VerificationError].some((kind) => error instanceof kind)) throw error;
    console.log(JSON.stringify({ accepted: false, why: error.message }));
  }
}
