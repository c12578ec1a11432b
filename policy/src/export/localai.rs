//! The `verification` block of LocalAI's gallery configuration.

use super::{Export, ExportError, ExportOptions, Exported, Name};
use crate::loss::LossCode;
use crate::policy::Policy;
use crate::write::node::Node;

/// Writes the five keys that LocalAI reads. Its patterns are searched for, so that what is written is bound to both ends.
///
/// A countersign gallery reads [`Policy::to_gallery_block`], which loses nothing but the signer's name.
pub fn to_localai(policy: &Policy, options: &ExportOptions) -> Result<Exported, ExportError> {
    let mut export = Export::new("LocalAI", policy, options)?;
    let count = policy.signers().count();
    if count != 1 {
        return Err(ExportError::SeveralSigners { target: "LocalAI", count });
    }
    let signer = &policy.first;
    if signer.name != "gallery" {
        export.lose_name(signer, 0);
    }
    export.lose_terms(&[LossCode::NotBefore]);
    export.lose_trust();
    export.lose_claims(signer, 0, &[]);
    export.lose_own_repository(signer, 0);
    export.lose_predicate();
    let mut block = Node::Map(Vec::new());
    for (key, matcher) in [("issuer", &signer.issuer), ("identity", &signer.identity)] {
        match export.name(matcher, key)? {
            Name::Exact(value) => block.insert(key, Node::Text(value)),
            Name::Pattern(pattern) => block.insert(&format!("{key}_regex"), Node::Text(pattern)),
        }
    }
    if let Some(time) = policy.window.not_before {
        block.insert("not_before", Node::Text(time.to_string()));
    }
    let text = Node::map([("verification", block)]).print();
    export.finish(&text)
}
