//! What a peer is known not to be able to verify, with the words it says then. When a peer learns it, its cell turns red.

use super::verifying::Judge;
use crate::peers::libraries::Library;
use crate::peers::signers::Signer;
use crate::peers::stack::Rekor;

/// Returns the words with which a judge refuses a good signature; `None` where it has to accept it.
pub(crate) fn of(judge: Judge, signer: Signer, rekor: Rekor, is_first: bool) -> Option<&'static [&'static str]> {
    let Judge::Library(Library::Rust(version)) = judge else { return None };
    let has_later_subjects = matches!(signer, Signer::Ours("image" | "release"));
    // Until 0.15 only the first subject of a statement counted, and an image's index is that.
    if version.starts_with("0.14") && has_later_subjects && !is_first {
        return Some(&["subject digest"]);
    }
    // It knows entries of the kind `dsse` only, which Rekor v2 no longer takes.
    (rekor == Rekor::V2).then_some(&["transparency"])
}
