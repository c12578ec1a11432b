//! The certificates of an authority like Fulcio, for a real Fulcio to issue with.

use jiff::Timestamp;

use crate::certificate::{Authority, CODE_SIGNING, Window};
use crate::keys::EcdsaKey;

/// A root certificate and an intermediate one below it that may sign certificates for signing code.
#[derive(Clone, Debug)]
pub struct CodeSigningChain([Authority; 2]);

impl CodeSigningChain {
    /// Certificates over these keys, valid for ten years since a time.
    pub fn new(root: &EcdsaKey, intermediate: &EcdsaKey, since: Timestamp) -> anyhow::Result<CodeSigningChain> {
        let window = Window::of_authority(since);
        let root = Authority::root("CN=fulcio root,O=countersign", root, window)?;
        let name = "CN=fulcio intermediate,O=countersign";
        let intermediate = root.intermediate(name, intermediate, window, CODE_SIGNING)?;
        Ok(CodeSigningChain([intermediate, root]))
    }

    /// Returns the certificates as DER, root last.
    #[must_use]
    pub fn der(&self) -> [&[u8]; 2] {
        self.0.each_ref().map(|authority| authority.der.as_slice())
    }

    /// Returns the certificates as PEM, root last.
    #[must_use]
    pub fn pem(&self) -> [String; 2] {
        self.0.each_ref().map(Authority::pem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn the_root_comes_last_and_the_two_differ() {
        let keys = (EcdsaKey::generate(), EcdsaKey::generate());
        let chain = CodeSigningChain::new(&keys.0, &keys.1, Clock::system().now()).unwrap();
        let [intermediate, root] = chain.der();
        let holds = |der: &[u8], key: &EcdsaKey| der.windows(key.spki().len()).any(|part| part == key.spki());
        assert!(holds(intermediate, &keys.1) && !holds(intermediate, &keys.0));
        assert!(holds(root, &keys.0) && !holds(root, &keys.1));
        assert!(chain.pem().iter().all(|pem| pem.starts_with("-----BEGIN CERTIFICATE-----")));
    }
}
