//! Kyverno's `ImageValidatingPolicy`.

use std::collections::BTreeSet;

use super::{Export, ExportError, ExportOptions, Exported, Name};
use crate::loss::LossCode;
use crate::policy::Policy;
use crate::signer::Signer;
use crate::write::node::Node;

/// Writes an `ImageValidatingPolicy` of `policies.kyverno.io/v1`: the kind that finds bundles by itself (Kyverno 1.17 and later).
///
/// It knows no claims but issuer and name, and counts attestors without asking whether two of them are the same.
pub fn to_kyverno(policy: &Policy, options: &ExportOptions) -> Result<Exported, ExportError> {
    let mut export = Export::new("Kyverno", policy, options)?;
    let Some(image) = export.image()? else { return Err(ExportError::ImageMissing { target: "Kyverno" }) };
    let name = export.resource_name()?;
    export.lose_terms(&[LossCode::RequireAnnotations]);
    export.lose_trust();
    export.lose_distinctness();
    export.lose_predicate();
    let mut names = BTreeSet::new();
    let mut attestors = Vec::new();
    for (index, signer) in policy.signers().enumerate() {
        let name = export.attestor_name(signer, index, &names);
        attestors.push(export.attestor(signer, index, &name)?);
        names.insert(name);
    }
    let list = attestor_names(&attestors).join(", ");
    let threshold = policy.threshold;
    let validation = |images: &str| {
        let expression = format!(
            "images.{images}.map(image, verifyImageSignatures(image, [{list}])).all(count, count >= {threshold})"
        );
        Node::map([
            ("expression", Node::Text(expression)),
            ("message", Node::text("the image is not signed as the policy wants it")),
        ])
    };
    let rule = Node::map([
        ("apiGroups", Node::List(vec![Node::text("")])),
        ("apiVersions", Node::List(vec![Node::text("v1")])),
        ("operations", Node::List(vec![Node::text("CREATE"), Node::text("UPDATE")])),
        ("resources", Node::List(vec![Node::text("pods")])),
    ]);
    let configurations = ["mutateDigest", "verifyDigest", "required"].map(|key| (key, Node::Flag(true)));
    let spec = Node::map([
        ("validationActions", Node::List(vec![Node::text("Deny")])),
        ("failurePolicy", Node::text("Fail")),
        ("matchConstraints", Node::map([("resourceRules", Node::List(vec![rule]))])),
        ("matchImageReferences", Node::List(vec![Node::map([("glob", Node::text(image))])])),
        ("validationConfigurations", Node::map(configurations)),
        ("attestors", Node::List(attestors)),
        ("validations", Node::List(IMAGES.map(validation).into())),
    ]);
    let document = Node::map([
        ("apiVersion", Node::text("policies.kyverno.io/v1")),
        ("kind", Node::text("ImageValidatingPolicy")),
        ("metadata", Node::map([("name", Node::text(name))])),
        ("spec", spec),
    ]);
    export.finish(&document.print())
}

impl Export<'_> {
    fn attestor(&mut self, signer: &Signer, index: usize, name: &str) -> Result<Node, ExportError> {
        let identity = self.identity(signer, index)?;
        let keyless = Node::map([("identities", Node::List(vec![identity]))]);
        let mut cosign = Node::map([("keyless", keyless)]);
        let annotations = &self.policy.require.annotations;
        if !annotations.is_empty() {
            let entries = annotations.iter().map(|(key, value)| (key.clone(), Node::text(value.as_str()))).collect();
            cosign.insert("annotations", Node::Map(entries));
        }
        Ok(Node::map([("name", Node::text(name)), ("cosign", cosign)]))
    }

    /// Writes issuer and name as cosign's library has them, and names what of the signer is lost with that.
    pub(super) fn identity(&mut self, signer: &Signer, index: usize) -> Result<Node, ExportError> {
        self.lose_claims(signer, index, &[]);
        self.lose_own_repository(signer, index);
        let mut identity = Node::Map(Vec::new());
        for (key, there, matcher) in [("issuer", "issuer", &signer.issuer), ("identity", "subject", &signer.identity)] {
            match self.name(matcher, &format!("signers[{index}].{key}"))? {
                Name::Exact(value) => identity.insert(there, Node::Text(value)),
                Name::Pattern(pattern) => identity.insert(&format!("{there}RegExp"), Node::Text(pattern)),
            }
        }
        Ok(identity)
    }

    /// Returns a name that an expression can use.
    fn attestor_name(&mut self, signer: &Signer, index: usize, taken: &BTreeSet<String>) -> String {
        let name = &signer.name;
        let letters = name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_');
        let begins = name.starts_with(|letter: char| letter.is_ascii_alphabetic());
        if letters && begins && !RESERVED.contains(&name.as_str()) && !taken.contains(name) {
            return name.clone();
        }
        self.lose_name(signer, index);
        let mut name = format!("signer_{}", index + 1);
        while taken.contains(&name) {
            name.push('_');
        }
        name
    }
}

fn attestor_names(attestors: &[Node]) -> Vec<String> {
    let name = |attestor: &Node| match attestor {
        Node::Map(entries) => entries.iter().find_map(|(key, value)| match value {
            Node::Text(name) if key == "name" => Some(format!("attestors.{name}")),
            _ => None,
        }),
        _ => None,
    };
    attestors.iter().filter_map(name).collect()
}

/// Where a pod names images.
const IMAGES: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
/// Words that the language of expressions keeps for itself.
const RESERVED: [&str; 19] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
];
