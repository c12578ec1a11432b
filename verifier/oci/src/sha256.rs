//! SHA-256 by ring, or by pure Rust where ring's C code is not built.

#[cfg(not(target_family = "wasm"))]
#[derive(Clone)]
pub(crate) struct Sha256(ring::digest::Context);

#[cfg(not(target_family = "wasm"))]
impl Sha256 {
    pub(crate) fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        let digest = self.0.finish();
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

#[cfg(target_family = "wasm")]
#[derive(Clone)]
pub(crate) struct Sha256(sha2::Sha256);

#[cfg(target_family = "wasm")]
impl Sha256 {
    pub(crate) fn new() -> Self {
        Self(sha2::Digest::new())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        sha2::Digest::finalize(self.0).into()
    }
}
