//! What a peer is known not to be able to verify, with the words it says then. When a peer learns it, its cell turns red.

use super::files::{self, Form};
use super::verifying::{Judge, RUST_INCONSISTENT};
use crate::peers::libraries::Library;
use crate::peers::signers::Signer;
use crate::peers::stack::Rekor;

/// Returns the words with which a judge refuses a good signature; `None` where it has to accept it.
pub(crate) fn of(judge: Judge, signer: Signer, rekor: Rekor, is_first: bool) -> Option<&'static [&'static str]> {
    let Judge::Library(Library::Rust(version)) = judge else { return None };
    let has_later_subjects = matches!(signer, Signer::Ours("image" | "release"));
    // Until 0.15 only the first subject of a statement counted, and an image's index is that.
    if version.starts_with("0.14") && has_later_subjects && !is_first {
        return Some(&[RUST_INCONSISTENT]);
    }
    // It knows entries of the kind `dsse` only, which Rekor v2 no longer takes.
    (rekor == Rekor::V2).then_some(&[RUST_INCONSISTENT])
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
