//! Writes a policy as the document that reads as the same policy.
//!
//! What is written comes from [`Policy::canonical`], so that nothing which counts in the policy hash can be forgotten, and is read back before
//! it is handed out: a text that would not read as the same policy is an error.

use serde_json::Value;

use crate::document::GalleryBlock;
use crate::error::PolicyError;
use crate::policy::Policy;
use crate::yaml;

pub(crate) mod node;

use node::Node;

/// Says why a policy cannot be written in a form.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The text would read as another policy.
    #[error("what was written reads as another policy")]
    Differs,
    /// A document names its issuers exactly.
    #[error("signer `{signer}` has a pattern for its issuer, and a policy document names its issuers exactly")]
    IssuerPattern {
        /// The signer.
        signer: String,
    },
    /// A block has one signer.
    #[error("the policy has {count} signers, and a verification block has one")]
    SeveralSigners {
        /// How many there are.
        count: usize,
    },
    /// The text would not be read.
    #[error("what was written is refused")]
    Unreadable(#[source] Box<PolicyError>),
}

impl WriteError {
    /// Returns the stable name of the problem, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Differs => "written-differs",
            Self::IssuerPattern { .. } => "issuer-pattern",
            Self::SeveralSigners { .. } => "several-signers",
            Self::Unreadable(_) => "written-unreadable",
        }
    }
}

impl Policy {
    /// Returns the document that [`Policy::from_yaml`] reads as this policy, with the same policy hash.
    pub fn to_yaml(&self) -> Result<String, WriteError> {
        if let Some(signer) = self.signers().find(|signer| signer.issuer.pattern().is_some()) {
            return Err(WriteError::IssuerPattern { signer: signer.name.clone() });
        }
        let text = Node::Map(document(&self.canonical())).print();
        let read =
            Self::from_yaml("the policy as written", &text).map_err(|error| WriteError::Unreadable(Box::new(error)))?;
        self.same(&read, text)
    }

    /// Returns the `verification` block that [`Policy::from_gallery_block`] reads as this policy; only the signer's name is not in it.
    pub fn to_gallery_block(&self) -> Result<String, WriteError> {
        if !self.others.is_empty() {
            return Err(WriteError::SeveralSigners { count: 1 + self.others.len() });
        }
        let mut entries = document(&self.canonical());
        entries.retain(|(key, _)| key != "version");
        let mut block = Vec::new();
        for (key, value) in entries {
            match (key.as_str(), value) {
                ("signers", Node::List(signers)) => {
                    for signer in signers {
                        let Node::Map(fields) = signer else { continue };
                        block.extend(fields.into_iter().filter(|(key, _)| key != "name"));
                    }
                }
                (_, value) => block.push((key, value)),
            }
        }
        let text = Node::Map(block).print();
        let unreadable = |error| WriteError::Unreadable(Box::new(error));
        let origin = "the block as written";
        let read: GalleryBlock = yaml::from_str(origin, &text).map_err(unreadable)?;
        let mut read = Self::from_gallery_block(origin, &read).map_err(unreadable)?;
        read.first.name.clone_from(&self.first.name);
        self.same(&read, text)
    }

    fn same(&self, read: &Self, text: String) -> Result<String, WriteError> {
        match read.canonical() == self.canonical() {
            true => Ok(text),
            false => Err(WriteError::Differs),
        }
    }
}

/// Returns the entries of the document that says what the canonical text says.
fn document(canonical: &str) -> Vec<(String, Node)> {
    let value: Value = serde_json::from_str(canonical).unwrap_or_default();
    let Node::Map(mut entries) = node(&value) else { return Vec::new() };
    for (key, value) in &mut entries {
        match value {
            Node::Text(age) if key == "max_age" => *age = short_age(age),
            // Of one value, the canonical text makes no list.
            Node::Map(lists) if key == "deny" => {
                for (_, list) in lists {
                    if let Node::Text(only) = list {
                        *list = Node::List(vec![Node::text(std::mem::take(only))]);
                    }
                }
            }
            Node::List(signers) if key == "signers" => {
                for signer in signers {
                    sort(signer, &SIGNER_KEYS);
                }
            }
            _ => {}
        }
    }
    entries.retain(|(key, value)| key != "threshold" || *value != Node::Number(1));
    let mut entries = Node::Map(entries);
    sort(&mut entries, &KEYS);
    match entries {
        Node::Map(entries) => entries,
        _ => Vec::new(),
    }
}

fn node(value: &Value) -> Node {
    match value {
        Value::Bool(flag) => Node::Flag(*flag),
        Value::Number(number) => Node::Number(number.as_u64().unwrap_or_default()),
        Value::String(text) => Node::text(text.as_str()),
        Value::Array(values) => Node::List(values.iter().map(node).collect()),
        Value::Object(entries) => Node::Map(entries.iter().map(|(key, value)| (key.clone(), node(value))).collect()),
        Value::Null => Node::Map(Vec::new()),
    }
}

/// Puts known keys into the order of the documentation, all others after them.
fn sort(node: &mut Node, order: &[&str]) {
    if let Node::Map(entries) = node {
        entries.sort_by_key(|(key, _)| order.iter().position(|known| known == key).unwrap_or(order.len()));
    }
}

/// Writes seconds in the largest unit that holds them whole.
fn short_age(seconds: &str) -> String {
    let number = seconds.strip_suffix('s').and_then(|number| number.parse::<u64>().ok());
    let Some(number) = number else { return seconds.to_owned() };
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if number % length == 0 {
            return format!("{}{unit}", number / length);
        }
    }
    seconds.to_owned()
}

/// The keys of a document that are written and exported: whoever adds one decides what becomes of it here and there.
pub(crate) const KEYS: [&str; 10] = [
    "version",
    "signers",
    "threshold",
    "distinct_logs",
    "not_before",
    "not_after",
    "max_age",
    "deny",
    "require",
    "trust",
];
const SIGNER_KEYS: [&str; 6] = ["name", "issuer", "issuer_regex", "identity", "identity_regex", "github"];
