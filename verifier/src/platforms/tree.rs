//! What `--all-platforms` shows: every manifest that a verified image covers, and what signature it has of its own.

use serde::Serialize;

use crate::branch::Branch;

/// How many manifests are printed; the JSON has them all.
const PRINTED: usize = 200;

/// The manifests that a verified image covers.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PlatformTree {
    /// `image index`, or `image manifest` where the image is all there is.
    pub kind: &'static str,
    /// The digest that was verified.
    pub digest: String,
    /// Whether the policy requires each image manifest to be signed itself.
    pub own_signatures_required: bool,
    /// How many different image manifests it covers; it counts itself where it is one.
    pub platforms: usize,
    /// How many of them have a signature of their own that the policy accepts.
    pub signed_themselves: usize,
    /// The entries of the index, in its order.
    pub children: Vec<ChildView>,
    /// How many entries were left out because a limit was reached.
    pub omitted: usize,
}

/// One manifest that a verified index covers.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ChildView {
    /// `image manifest`, `image index`, `attestation manifest` or `other`.
    pub kind: &'static str,
    /// Its digest.
    pub digest: String,
    /// Its media type, as the index says.
    pub media_type: String,
    /// Its size in bytes, as the index says.
    pub size: u64,
    /// Its platform, as the index says.
    pub platform: Option<String>,
    /// Always true: the index that names it was verified.
    pub covered: bool,
    /// What signature it has of its own; nothing where that was not asked.
    pub own_signature: Option<OwnSignature>,
    /// Why it could not be seen, where the registry did not show it.
    pub unseen: Option<String>,
    /// Whether it is an entry that was shown before.
    pub repeated: bool,
    /// The entries of a nested index.
    pub children: Vec<ChildView>,
}

/// What a manifest's own evidence says of it. It adds nothing to the verdict on its index, unless the policy requires it.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OwnSignature {
    /// The policy accepts it.
    Accepted {
        /// The identity that signed.
        signed_by: String,
    },
    /// There is none.
    None,
    /// It is signed, but not as the policy wants it.
    Rejected {
        /// The reason in one line.
        reason: String,
    },
    /// It could not be told.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// What all of it means for the image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conclusion {
    /// Every manifest is covered, and what the policy requires beyond that is there.
    Covered,
    /// The policy requires signatures that are not there: which.
    Rejected(String),
    /// Something could not be seen: what.
    Undecided(String),
}

impl PlatformTree {
    /// Returns what it means. A required signature that is not there weighs more than a manifest that could not be seen.
    #[must_use]
    pub fn conclusion(&self) -> Conclusion {
        let (mut rejected, mut unseen) = (Vec::new(), Vec::new());
        for child in &self.children {
            child.judge(self.own_signatures_required, &mut rejected, &mut unseen);
        }
        if self.omitted > 0 {
            unseen.push(format!("{} entries are left out, because a limit is reached", self.omitted));
        }
        match (rejected.first(), unseen.first()) {
            (Some(first), _) => Conclusion::Rejected(and_more(first, rejected.len())),
            (None, Some(first)) => Conclusion::Undecided(and_more(first, unseen.len())),
            (None, None) => Conclusion::Covered,
        }
    }

    /// Prints the tree below what is said of the image.
    pub(crate) fn print(&self, text: &mut String) {
        let count = match (self.children.is_empty(), self.platforms) {
            (true, 1) => "an image manifest: all there is".to_owned(),
            (_, 1) => "covers 1 image manifest".to_owned(),
            (_, platforms) => format!("covers {platforms} image manifests"),
        };
        let own = match (self.children.is_empty(), self.own_signatures_required) {
            (true, _) => String::new(),
            (false, required) => {
                let required = if required { ", and the policy requires it of each" } else { "" };
                format!("; {} of them signed themselves too{required}", self.signed_themselves)
            }
        };
        let mut branch = Branch::new(format!("{} {}, {count}{own}", self.kind, self.digest));
        let mut left = PRINTED;
        branch.below.extend(self.children.iter().filter_map(|child| child.branch(&mut left)));
        let printed = PRINTED - left;
        let all = self.children.iter().map(ChildView::count).sum::<usize>();
        if all > printed {
            branch.add(format!("and {} further manifests: --output json lists them", all - printed));
        }
        if self.omitted > 0 {
            branch.add(format!("not looked at: {} further entries, because a limit is reached", self.omitted));
        }
        branch.print(text, "  ");
    }
}

impl ChildView {
    #[cfg(feature = "registry")]
    pub(super) fn of(child: &super::VerifiedChild) -> Self {
        use super::ChildKind;
        let descriptor = child.descriptor();
        Self {
            kind: match child.kind() {
                ChildKind::Attestation => "attestation manifest",
                ChildKind::Image => "image manifest",
                ChildKind::Index => "image index",
                ChildKind::Other => "other",
            },
            digest: child.digest().to_string(),
            media_type: countersign_oci::printable(&descriptor.media_type, 512),
            size: descriptor.size,
            platform: descriptor.platform.as_ref().map(ToString::to_string),
            covered: true,
            own_signature: None,
            unseen: None,
            repeated: false,
            children: Vec::new(),
        }
    }

    fn name(&self) -> String {
        match &self.platform {
            Some(platform) => format!("{platform} {}", self.digest),
            None => format!("{} {}", self.kind, self.digest),
        }
    }

    fn judge(&self, required: bool, rejected: &mut Vec<String>, unseen: &mut Vec<String>) {
        if let Some(reason) = &self.unseen {
            unseen.push(format!("{} could not be seen: {reason}", self.name()));
        }
        let image = required && self.kind == "image manifest" && !self.repeated;
        match (&self.own_signature, image) {
            (Some(OwnSignature::None), true) => rejected.push(format!("{} is not signed itself", self.name())),
            (Some(OwnSignature::Rejected { reason }), true) => rejected.push(format!("{}: {reason}", self.name())),
            (Some(OwnSignature::Unknown { reason }), true) => unseen.push(format!("{}: {reason}", self.name())),
            (None, true) if self.unseen.is_none() => unseen.push(format!("{} was not looked at", self.name())),
            _ => {}
        }
        for child in &self.children {
            child.judge(required, rejected, unseen);
        }
    }

    fn count(&self) -> usize {
        1 + self.children.iter().map(Self::count).sum::<usize>()
    }

    fn branch(&self, left: &mut usize) -> Option<Branch> {
        *left = left.checked_sub(1)?;
        let own = match &self.own_signature {
            None => String::new(),
            Some(OwnSignature::Accepted { signed_by }) => format!("; own signature: accepted, by {signed_by}"),
            Some(OwnSignature::None) => "; own signature: none".to_owned(),
            Some(OwnSignature::Rejected { reason }) => format!("; own signature: rejected, {reason}"),
            Some(OwnSignature::Unknown { reason }) => format!("; own signature: cannot tell, {reason}"),
        };
        let kind = if self.platform.is_some() && self.kind != "image manifest" {
            format!("{} ", self.kind)
        } else {
            String::new()
        };
        let again = if self.repeated { ", named before" } else { "" };
        let mut branch = Branch::new(format!("{kind}{}: covered by the index{again}{own}", self.name()));
        if let Some(reason) = &self.unseen {
            branch.add(format!("could not be seen: {reason}"));
        }
        branch.below.extend(self.children.iter().filter_map(|child| child.branch(left)));
        Some(branch)
    }
}

fn and_more(first: &str, count: usize) -> String {
    match count {
        1 => first.to_owned(),
        count => format!("{first}; and {} more", count - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(platform: &str, own: Option<OwnSignature>) -> ChildView {
        ChildView {
            kind: "image manifest",
            digest: "sha256:44".to_owned(),
            media_type: "x/y".to_owned(),
            size: 7,
            platform: Some(platform.to_owned()),
            covered: true,
            own_signature: own,
            unseen: None,
            repeated: false,
            children: Vec::new(),
        }
    }

    fn tree(required: bool, children: Vec<ChildView>) -> PlatformTree {
        let (kind, digest) = ("image index", "sha256:11".to_owned());
        let (platforms, signed_themselves) = (children.len(), 1);
        PlatformTree {
            kind,
            digest,
            own_signatures_required: required,
            platforms,
            signed_themselves,
            children,
            omitted: 0,
        }
    }

    fn all_kinds() -> Vec<ChildView> {
        let rejected = OwnSignature::Rejected { reason: "signed, but not as the policy wants it".to_owned() };
        let accepted = OwnSignature::Accepted { signed_by: "someone\u{1b}[2J".to_owned() };
        let attestation = ChildView { kind: "attestation manifest", ..child("unknown/unknown", None) };
        let nested = ChildView {
            kind: "image index",
            platform: None,
            children: vec![ChildView { repeated: true, ..child("linux/arm", None) }],
            ..child("", Some(OwnSignature::None))
        };
        vec![
            child("linux/amd64", Some(accepted)),
            child("linux/arm64", Some(OwnSignature::None)),
            child("linux/arm", Some(rejected)),
            attestation,
            nested,
        ]
    }

    #[test]
    fn each_child_says_what_covers_it_and_what_it_has_of_its_own() {
        let mut text = String::new();
        tree(false, all_kinds()).print(&mut text);
        insta::assert_snapshot!(text, @"
        image index sha256:11, covers 5 image manifests; 1 of them signed themselves too
        ├─ linux/amd64 sha256:44: covered by the index; own signature: accepted, by someone�[2J
        ├─ linux/arm64 sha256:44: covered by the index; own signature: none
        ├─ linux/arm sha256:44: covered by the index; own signature: rejected, signed, but not as the policy wants it
        ├─ attestation manifest unknown/unknown sha256:44: covered by the index
        └─ image index sha256:44: covered by the index; own signature: none
           └─ linux/arm sha256:44: covered by the index, named before
        ");
    }

    #[test]
    fn a_covered_child_needs_no_signature_of_its_own_unless_the_policy_says_so() {
        assert_eq!(tree(false, all_kinds()).conclusion(), Conclusion::Covered);
        let Conclusion::Rejected(why) = tree(true, all_kinds()).conclusion() else { panic!("required and not there") };
        assert_eq!(why, "linux/arm64 sha256:44 is not signed itself; and 1 more");
        let accepted = || child("linux/amd64", Some(OwnSignature::Accepted { signed_by: "x".to_owned() }));
        assert_eq!(tree(true, vec![accepted(), accepted()]).conclusion(), Conclusion::Covered);
        let unknown = || child("linux/arm64", Some(OwnSignature::Unknown { reason: "503".to_owned() }));
        assert_eq!(tree(false, vec![unknown()]).conclusion(), Conclusion::Covered);
        assert!(matches!(tree(true, vec![unknown()]).conclusion(), Conclusion::Undecided(_)));
        assert!(matches!(tree(true, vec![child("linux/arm64", None)]).conclusion(), Conclusion::Undecided(_)));
        let none = child("linux/arm", Some(OwnSignature::None));
        assert!(matches!(tree(true, vec![unknown(), none]).conclusion(), Conclusion::Rejected(_)));
    }

    #[test]
    fn what_was_not_seen_or_left_out_is_never_all_platforms() {
        let missing = ChildView { unseen: Some("not found".to_owned()), ..child("linux/arm64", None) };
        let Conclusion::Undecided(why) = tree(false, vec![missing]).conclusion() else { panic!("it was not seen") };
        assert_eq!(why, "linux/arm64 sha256:44 could not be seen: not found");
        let cut = PlatformTree { omitted: 3, ..tree(false, all_kinds()) };
        assert!(matches!(cut.conclusion(), Conclusion::Undecided(_)));
    }

    #[test]
    fn thousands_are_counted_not_printed() {
        let mut text = String::new();
        tree(false, vec![child("linux/amd64", None); 500]).print(&mut text);
        assert_eq!(text.lines().count(), 202);
        assert!(text.contains("and 300 further manifests"), "{text}");
    }
}
