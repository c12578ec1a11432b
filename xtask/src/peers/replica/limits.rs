//! What a peer is known not to be able to verify, with the words it says then. When a peer learns it, its cell turns red.

use super::files::{self, Form};
use super::verifying::{Judge, RUST_INCONSISTENT, RUST_ONE_SUBJECT};
use crate::peers::libraries::Library;
use crate::peers::signers::Signer;
use crate::peers::stack::Rekor;

/// Returns the words with which a judge refuses a good signature; `None` where it has to accept it.
pub(crate) fn of(judge: Judge, signer: Signer, rekor: Rekor, is_first: bool) -> Option<&'static [&'static str]> {
    let has_later_subjects = matches!(signer, Signer::Ours("image" | "release"));
    let is_later = has_later_subjects && !is_first;
    match judge {
        // Until 0.15 only the first subject of a statement counted, and an image's index is that.
        Judge::Library(Library::Rust(version)) if version.starts_with("0.14") && is_later => Some(&[RUST_INCONSISTENT]),
        // In the module `cosign` it is still so.
        Judge::Library(Library::RustCosign(_)) if is_later => Some(&[RUST_ONE_SUBJECT]),
        // It knows entries of the kind `dsse` only, which Rekor v2 no longer takes.
        Judge::Library(Library::Rust(_)) if rekor == Rekor::V2 => Some(&[RUST_INCONSISTENT]),
        Judge::Library(Library::RustCosign(_)) if rekor == Rekor::V2 => Some(&["missing inclusionPromise (SET)"]),
        _ => None,
    }
}

/// Returns the words with which a judge refuses a good bundle of a file or a statement.
pub(crate) fn of_file(judge: Judge, rekor: Rekor) -> Option<&'static [&'static str]> {
    let Judge::Library(Library::Rust(_)) = judge else { return None };
    (rekor == Rekor::V2).then_some(&[RUST_INCONSISTENT])
}

/// Returns the words with which somebody fails to sign.
pub(crate) fn of_signing(signer: files::Signer, form: Form, rekor: Rekor) -> Option<&'static [&'static str]> {
    // It sends the entry type `dsse`, which Rekor v2 has dropped.
    let is_limit = (signer, form, rekor) == (files::Signer::Library(Library::Js), Form::Statement, Rekor::V2);
    is_limit.then_some(&["must be hashedrekord"])
}
