//! What a bundle claims, as a part of the tree.

use crate::branch::Branch;
use crate::inspect::size::size;
use crate::inspect::{BundleClaims, CertificateClaims, LogClaims, SubjectClaims};

impl Branch {
    /// A bundle that was shown beside another manifest: what differs is which of its subjects this is.
    pub(super) fn bundle_again(claims: &BundleClaims) -> Self {
        let mut branch = Self::new(format!("the bundle {}, shown above, which claims (unverified):", claims.digest));
        branch.add_subjects(claims);
        branch.add_outcome(claims);
        branch
    }

    pub(super) fn bundle(claims: &BundleClaims) -> Self {
        let (digest, bytes) = (&claims.digest, size(claims.size));
        let mut branch = Self::new(format!("bundle {digest}, {bytes}, which claims (unverified):"));
        branch.add_some("media type", claims.media_type.as_deref());
        branch.add_some("content", claims.content);
        let predicate = claims.statement.as_ref().and_then(|statement| statement.predicate_type.as_deref());
        branch.add_some("predicate type", predicate);
        branch.add_subjects(claims);
        if let Some(certificate) = &claims.certificate {
            branch.add_certificate(certificate);
        }
        branch.add_some("public key with the hint", claims.public_key_hint.as_deref());
        branch.below.extend(claims.log_entries.iter().map(Self::log_entry));
        let further = claims.log_entry_count - claims.log_entries.len();
        if further > 0 {
            branch.add(format!("and {further} further log entries"));
        }
        branch.add(format!("timestamps: {}", claims.timestamps));
        for problem in &claims.problems {
            branch.add(format!("cannot be read: {problem}"));
        }
        branch.add_outcome(claims);
        branch
    }

    /// The subject that is this digest; where none is, all that there are.
    fn add_subjects(&mut self, claims: &BundleClaims) {
        let Some(statement) = &claims.statement else { return };
        let is_named = statement.subjects.iter().any(|subject| subject.is_this);
        let shown: Vec<_> = statement.subjects.iter().filter(|subject| subject.is_this || !is_named).collect();
        let further = statement.subject_count - shown.len();
        self.below.extend(shown.into_iter().map(Self::subject));
        if further > 0 {
            self.add(format!("further subjects: {further}"));
        }
    }

    fn add_outcome(&mut self, claims: &BundleClaims) {
        if let Some(refusal) = &claims.would_refuse {
            self.add_refusal("no policy accepts it: ", refusal);
        }
    }

    fn subject(subject: &SubjectClaims) -> Self {
        let name = subject.name.as_deref().unwrap_or("(without a name)");
        let digests = subject.digests.iter().map(|(kind, value)| format!("{kind}:{value}"));
        // Names that countersign gives end with the digest.
        let digests: Vec<String> = digests.filter(|digest| !name.ends_with(&format!("@{digest}"))).collect();
        let this = if subject.is_this { " (this digest)" } else { "" };
        let separator = if digests.is_empty() { "" } else { " " };
        let mut branch = Self::new(format!("subject {name}{separator}{}{this}", digests.join(" ")));
        if !subject.tags.is_empty() {
            branch.add(format!("tags {}", subject.tags.join(", ")));
        }
        for (key, value) in &subject.annotations {
            branch.add(format!("annotation {key}={value}"));
        }
        let shown = subject.annotations.len() + usize::from(!subject.tags.is_empty());
        if subject.annotation_count > shown {
            branch.add(format!("and {} further annotations", subject.annotation_count - shown));
        }
        branch
    }

    fn add_certificate(&mut self, certificate: &CertificateClaims) {
        for identity in &certificate.identities {
            self.add(format!("identity {identity}"));
        }
        self.add_some("OIDC issuer", certificate.oidc_issuer.as_deref());
        self.add_some("source repository", certificate.source_repository.as_deref());
        for claim in &certificate.workflow {
            self.add(format!("{} {}", claim.name, claim.value));
        }
        if let (Some(from), Some(to)) = (&certificate.not_before, &certificate.not_after) {
            let by = certificate.issued_by.as_deref().unwrap_or("(nobody named)");
            self.add(format!("certificate from {from} to {to}, issued by {by}"));
        }
        for problem in &certificate.problems {
            self.add(format!("certificate: {problem}"));
        }
    }

    fn log_entry(entry: &LogClaims) -> Self {
        let kind = entry.kind.as_deref().unwrap_or("of no kind");
        let version = entry.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
        let index = entry.index.map_or_else(|| "without index".to_owned(), |index| format!("index {index}"));
        let log = entry.log.as_deref().map(|log| format!(" in {log}")).unwrap_or_default();
        let time = entry.integrated_time.as_deref().map(|time| format!(", integrated at {time}"));
        let missing = if entry.inclusion_proof { "" } else { ", without inclusion proof" };
        Self::new(format!("log entry {kind}{version}, {index}{log}{}{missing}", time.unwrap_or_default()))
    }
}
