//! Checkpoints: signed notes over the head of a tree (C2SP tlog-checkpoint).

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::merkle::Hash;

/// Who signs the checkpoints of a log.
pub(crate) struct Signer<'a> {
    /// The first line.
    pub(crate) origin: &'a str,
    /// The name beside the signature.
    pub(crate) name: &'a str,
    /// Which key of that name.
    pub(crate) key_hint: [u8; 4],
    pub(crate) sign: &'a dyn Fn(&[u8]) -> Vec<u8>,
}

/// The note over a tree of that size and root.
pub(crate) fn checkpoint(signer: &Signer<'_>, size: usize, root: &Hash) -> String {
    let text = format!("{}\n{size}\n{}\n", signer.origin, BASE64_STANDARD.encode(root));
    let signature = [&signer.key_hint[..], &(signer.sign)(text.as_bytes())].concat();
    format!("{text}\n\u{2014} {} {}\n", signer.name, BASE64_STANDARD.encode(signature))
}
