//! Signed tokens: RS256, the one algorithm that every verifier of GitHub's tokens takes.

use anyhow::{Context as _, bail};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Map, Value, json};

const KEY_ID: &str = "sandbox-1";

/// The key of the issuers: fixed, because making RSA keys is slow; public, because it signs for nobody but sandboxes.
pub(super) struct Rs256Key(RsaKeyPair);

impl Rs256Key {
    pub(super) fn test_only() -> anyhow::Result<Rs256Key> {
        let (_, document) = crate::unpem(include_str!("test_only_rs256_key.pem")).context("read the test key")?;
        let pair = RsaKeyPair::from_pkcs8(&document).ok().context("read the test key")?;
        Ok(Rs256Key(pair))
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        let header = json!({ "typ": "JWT", "alg": "RS256", "kid": KEY_ID });
        let signed = [&header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .expect("the buffer has the length of the modulus");
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// The claims of a token that this key signed.
    pub(super) fn verify(&self, token: &str) -> anyhow::Result<Map<String, Value>> {
        let (signed, signature) = token.rsplit_once('.').context("the token has no signature")?;
        let (header, claims) = signed.split_once('.').context("the token has no claims")?;
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).context("the token is not base64url");
        let header: Value = serde_json::from_slice(&decode(header)?).context("the token's header is not JSON")?;
        if header["alg"] != "RS256" || header.get("kid").is_some_and(|kid| kid != KEY_ID) {
            bail!("the token is signed with {} and key {}", header["alg"], header["kid"]);
        }
        let components: RsaPublicKeyComponents<Vec<u8>> = self.0.public().into();
        components
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &decode(signature)?)
            .ok()
            .context("the token's signature does not verify")?;
        serde_json::from_slice(&decode(claims)?).context("the token's claims are not JSON")
    }

    pub(super) fn jwk(&self) -> Value {
        let components: RsaPublicKeyComponents<Vec<u8>> = self.0.public().into();
        let [modulus, exponent] = [&components.n, &components.e].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": modulus, "e": exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_verifies_and_a_changed_one_does_not() {
        let key = Rs256Key::test_only().unwrap();
        let token = key.sign(&json!({ "sub": "a" }));
        assert_eq!(key.verify(&token).unwrap()["sub"], "a");
        let other = key.sign(&json!({ "sub": "b" }));
        let (_, signature) = token.rsplit_once('.').unwrap();
        let (body, _) = other.rsplit_once('.').unwrap();
        assert!(key.verify(&format!("{body}.{signature}")).is_err());
    }

    #[test]
    fn an_unsigned_token_is_refused() {
        let key = Rs256Key::test_only().unwrap();
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        assert!(key.verify(&format!("{header}.e30.")).is_err());
        assert!(key.verify("").is_err());
    }
}
