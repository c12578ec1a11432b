// Signs with sigstore-js's library: `sign.mjs PACKAGES SIGNING_CONFIG TOKEN file|statement INPUT BUNDLE`, PACKAGES being the folder of
// node_modules.
//
// INPUT is the file that is signed: any bytes, or an in-toto statement. The bundle goes to the file BUNDLE.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const [packages, signingConfig, token, form, source, target] = process.argv.slice(2);
const require = createRequire(`${packages}/`);
const { bundleToJSON } = require("@sigstore/bundle");
const { SigningConfig } = require("@sigstore/protobuf-specs");
const { bundleBuilderFromSigningConfig } = require("@sigstore/sign");

const builder = bundleBuilderFromSigningConfig({
  signingConfig: SigningConfig.fromJSON(JSON.parse(readFileSync(signingConfig, "utf8"))),
  identityProvider: { getToken: async () => token },
  bundleType: form === "statement" ? "dsseEnvelope" : "messageSignature",
});
try {
  const bundle = await builder.create({ data: readFileSync(source), type: "application/vnd.in-toto+json" });
  writeFileSync(target, JSON.stringify(bundleToJSON(bundle)));
} catch (error) {
  // The library's messages name the step, their cause names the reason.
  console.error(`${error.message}: ${error.cause?.message ?? "no cause"}`);
  process.exit(1);
}
