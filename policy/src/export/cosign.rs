//! `cosign verify` command lines.

use super::{Export, ExportError, ExportOptions, Exported, Name, own_repository_counts};
use crate::claim::Claim;
use crate::error::Location;
use crate::loss::LossCode;
use crate::matcher::Matcher;
use crate::policy::Policy;
use crate::re2;
use crate::require::Trust;
use crate::signer::Signer;
use crate::source_repository;

/// Writes `cosign verify` commands for a shell: joined by `||` where any signer is enough, by `&&` where all must have signed.
///
/// For cosign 3, which reads the bundles that countersign's signer writes. Where no image is named, `IMAGE` stands in its place.
pub fn to_cosign(policy: &Policy, options: &ExportOptions) -> Result<Exported, ExportError> {
    let mut export = Export::new("cosign", policy, options)?;
    let signers: Vec<&Signer> = policy.signers().collect();
    let triggers = signers.iter().map(|signer| triggers(signer).len()).max().unwrap_or(1);
    let joint = match policy.threshold {
        1 => " ||\n",
        threshold if threshold == signers.len() && triggers <= 1 => " &&\n",
        threshold => return Err(ExportError::Threshold { target: "cosign", threshold, count: signers.len() }),
    };
    export.lose_predicate();
    export.lose_terms(&[LossCode::RequireAnnotations]);
    export.lose_distinctness();
    let mut commands = Vec::new();
    for (index, signer) in signers.iter().enumerate() {
        commands.extend(export.commands(signer, index)?);
    }
    let text = format!("{}\n", commands.join(joint));
    export.finish(&text)
}

impl Export<'_> {
    /// Returns a command for each event that may start the signer's job, or one where that is left open.
    fn commands(&mut self, signer: &Signer, index: usize) -> Result<Vec<String>, ExportError> {
        self.lose_name(signer, index);
        let mut flags = Vec::new();
        let mut flag = |name: &str, value: &str| flags.push(format!("--{name} {}", quoted(value)));
        match self.name(&signer.identity, &format!("signers[{index}].identity"))? {
            Name::Exact(name) => flag("certificate-identity", &name),
            Name::Pattern(pattern) => flag("certificate-identity-regexp", &pattern),
        }
        match self.name(&signer.issuer, &format!("signers[{index}].issuer"))? {
            Name::Exact(issuer) => flag("certificate-oidc-issuer", &issuer),
            Name::Pattern(pattern) => flag("certificate-oidc-issuer-regexp", &pattern),
        }
        let mut kept = Vec::new();
        for (claim, name) in [
            (Claim::Repository, "certificate-github-workflow-repository"),
            (Claim::Ref, "certificate-github-workflow-ref"),
        ] {
            if let Some(value) = claim_of(signer, claim).and_then(Matcher::only) {
                flag(name, value);
                kept.push(claim);
            }
        }
        match own_repository(signer) {
            Some(repository) => flag("certificate-github-workflow-repository", &repository),
            None => self.lose_own_repository(signer, index),
        }
        for (key, value) in &self.policy.require.annotations {
            let annotation = format!("{key}={value}");
            if key.contains('=') || annotation.contains([',', '"', '\n', '\r']) {
                let at = Location::new("policy", "require.annotations");
                return Err(ExportError::Inexpressible { at, target: self.target, value: annotation });
            }
            flag("annotations", &annotation);
        }
        match &self.policy.trust {
            Some(Trust::File(path)) => flag("trusted-root", path),
            _ => self.lose_trust(),
        }
        let triggers = triggers(signer);
        if !triggers.is_empty() {
            kept.push(Claim::Trigger);
        }
        self.lose_claims(signer, index, &kept);
        let image = self.image()?.unwrap_or("IMAGE");
        if image.contains('*') {
            let expected = "one image: cosign verifies no patterns";
            return Err(ExportError::InvalidOption { expected, found: image.to_owned() });
        }
        let command = |trigger: Option<&String>| {
            let trigger = trigger.map(|trigger| format!("--certificate-github-workflow-trigger {}", quoted(trigger)));
            let lines: Vec<String> = flags.iter().cloned().chain(trigger).chain([quoted(image)]).collect();
            format!("cosign verify \\\n  {}", lines.join(" \\\n  "))
        };
        Ok(match triggers.is_empty() {
            true => vec![command(None)],
            false => triggers.iter().map(|trigger| command(Some(trigger))).collect(),
        })
    }
}

fn claim_of(signer: &Signer, claim: Claim) -> Option<&Matcher> {
    signer.github.iter().find(|(known, _)| *known == claim).map(|(_, matcher)| matcher)
}

fn triggers(signer: &Signer) -> Vec<String> {
    match claim_of(signer, Claim::Trigger) {
        Some(Matcher::Exact(values)) => values.clone(),
        _ => Vec::new(),
    }
}

/// Returns the repository that the rule of the workflow's own repository means, where there is one: then it can be said as a claim.
fn own_repository(signer: &Signer) -> Option<String> {
    let github = signer.issuer.only().is_some_and(source_repository::is_github);
    if !github || !own_repository_counts(signer) {
        return None;
    }
    let name = match &signer.identity {
        Matcher::Exact(_) => signer.identity.only()?.to_owned(),
        Matcher::Pattern(pattern) => re2::literal_head(pattern)?,
    };
    let repository = source_repository::of_name(&name)?;
    repository.strip_prefix(source_repository::origin(&name)?)?.strip_prefix('/').map(str::to_owned)
}

/// Quotes a word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"._-/:@=+,".contains(&letter);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
