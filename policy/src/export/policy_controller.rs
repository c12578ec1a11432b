//! The `ClusterImagePolicy` of Sigstore's policy-controller.

use super::{Export, ExportError, ExportOptions, Exported};
use crate::policy::Policy;
use crate::write::node::Node;

/// Writes a `ClusterImagePolicy` of `policy.sigstore.dev/v1beta1` with an authority for each signer, any of which is enough.
///
/// It reads bundles since `signatureFormat: bundle` is known. Of the certificate it knows issuer and name only.
pub fn to_policy_controller(policy: &Policy, options: &ExportOptions) -> Result<Exported, ExportError> {
    let target = "policy-controller";
    let mut export = Export::new(target, policy, options)?;
    let Some(image) = export.image()? else { return Err(ExportError::ImageMissing { target }) };
    let name = export.resource_name()?;
    if policy.threshold > 1 {
        let count = policy.signers().count();
        return Err(ExportError::Threshold { target, threshold: policy.threshold, count });
    }
    export.lose_terms(&[]);
    export.lose_trust();
    export.lose_predicate();
    let mut authorities = Vec::new();
    for (index, signer) in policy.signers().enumerate() {
        let keyless = Node::map([
            ("url", Node::text("https://fulcio.sigstore.dev")),
            ("identities", Node::List(vec![export.identity(signer, index)?])),
        ]);
        authorities.push(Node::map([
            ("name", Node::text(signer.name.as_str())),
            ("keyless", keyless),
            ("ctlog", Node::map([("url", Node::text("https://rekor.sigstore.dev"))])),
            ("signatureFormat", Node::text("bundle")),
        ]));
    }
    let spec = Node::map([
        ("mode", Node::text("enforce")),
        ("images", Node::List(vec![Node::map([("glob", Node::text(image))])])),
        ("authorities", Node::List(authorities)),
    ]);
    let document = Node::map([
        ("apiVersion", Node::text("policy.sigstore.dev/v1beta1")),
        ("kind", Node::text("ClusterImagePolicy")),
        ("metadata", Node::map([("name", Node::text(name))])),
        ("spec", spec),
    ]);
    export.finish(&document.print())
}
