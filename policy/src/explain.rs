//! Says in plain words what a policy admits, and what it does not look at: [`explain`].
//!
//! What a pattern is said to admit or refuse was put to the matcher that decides.

mod signer;

use jiff::SignedDuration;

use crate::policy::Policy;
use crate::require::Trust;

/// Holds a heading and what is to be said below it, a sentence each. May quote the policy: text of others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Section {
    /// The heading.
    pub title: String,
    /// The sentences, in their order.
    pub lines: Vec<String>,
}

/// Returns everything that the policy says, in the order in which people ask: who, when, what is denied, what the signature must say of the
/// image, whose word the certificates are checked with, and what is not checked at all.
pub fn explain(policy: &Policy) -> Vec<Section> {
    let mut sections = vec![Section { title: "Who must have signed".to_owned(), lines: who(policy) }];
    sections.extend(policy.signers().map(signer::section));
    for (title, lines) in [
        ("When", when(policy)),
        ("Never accepted", denied(policy)),
        ("What the signature must say of the image", required(policy)),
        ("Whose word is believed", trust(policy)),
        ("Not checked", unchecked(policy)),
    ] {
        sections.push(Section { title: title.to_owned(), lines });
    }
    sections
}

fn who(policy: &Policy) -> Vec<String> {
    let count = policy.signers().count();
    let mut lines = match (policy.threshold, count) {
        (_, 1) => vec!["The one signer below. One signature is enough.".to_owned()],
        (1, count) => vec![format!("Any one of the {count} signers below. One signature is enough.")],
        (threshold, count) => vec![
            format!("{threshold} of the {count} signers below, each with a signature of its own."),
            "One signature counts for one signer only, and the same issuer, name and source repository count once."
                .to_owned(),
        ],
    };
    if policy.distinct_logs > 1 {
        lines.push(format!("Their signatures are in {} transparency logs or more.", policy.distinct_logs));
    }
    lines
}

fn when(policy: &Policy) -> Vec<String> {
    let window = &policy.window;
    let mut lines = Vec::new();
    match (window.not_before, window.not_after) {
        (None, None) => lines.push("At any time: no signature is too old or too new.".to_owned()),
        (Some(before), None) => lines.push(format!("At {before} or later.")),
        (None, Some(after)) => lines.push(format!("At {after} or earlier.")),
        (Some(before), Some(after)) => lines.push(format!("From {before} to {after}, both included.")),
    }
    if let Some(age) = window.max_age {
        lines.push(format!("At most {} before the moment of verifying.", in_words(age)));
    }
    if window.not_before.is_some() || window.not_after.is_some() || window.max_age.is_some() {
        lines.push("Every verified time of a signature must keep these bounds. There must be at least one.".to_owned());
    }
    lines
}

fn denied(policy: &Policy) -> Vec<String> {
    let mut lines: Vec<String> = policy.deny.digests.iter().map(|digest| format!("The image {digest}.")).collect();
    lines.extend(policy.deny.log_entries.iter().map(|entry| format!("A signature with the log entry {entry}.")));
    if lines.is_empty() {
        lines.push("Nothing is denied by its digest or log entry.".to_owned());
    }
    lines
}

fn required(policy: &Policy) -> Vec<String> {
    let require = policy.require();
    let mut lines = Vec::new();
    if require.repository {
        lines.push("The repository that was asked for. A copy in another repository is refused.".to_owned());
    }
    if require.tag {
        lines.push("The tag that was asked for. Without a tag, by digest alone, nothing is accepted.".to_owned());
    }
    for (key, value) in &require.annotations {
        lines.push(format!("The annotation `{key}` with the value `{value}`."));
    }
    match lines.len() {
        0 => lines.push("Only its digest.".to_owned()),
        1 => {}
        _ => lines.push("All of it in the same subject of the same signature.".to_owned()),
    }
    if require.platforms {
        lines.push("Of an image index, each image manifest too is signed itself, as this policy wants it.".to_owned());
    }
    lines
}

fn trust(policy: &Policy) -> Vec<String> {
    vec![match policy.trust() {
        None => "The policy does not say: whoever verifies chooses the trusted root.".to_owned(),
        Some(Trust::PublicGood) => "The public-good instance of Sigstore, and no other root.".to_owned(),
        Some(Trust::File(path)) => format!("The trusted root in the file `{path}`, and no other."),
        Some(Trust::Tuf { url, root }) => {
            format!(
                "The trusted root of the TUF repository {url}, beginning with the TUF root in `{root}`, and no other."
            )
        }
    }]
}

fn unchecked(policy: &Policy) -> Vec<String> {
    let require = policy.require();
    let mut lines = vec![
        "Whether the image is good: a signature says who, and not what.".to_owned(),
        "Which commit was built, and who approved it.".to_owned(),
    ];
    if !require.repository {
        lines.push(
            "For which repository it was signed: a signed image is accepted wherever it is copied to.".to_owned(),
        );
    }
    if !require.tag {
        lines.push("For which tag it was signed: an old signed image can be served under a new tag.".to_owned());
    }
    if policy.window.not_before.is_none() && policy.window.max_age.is_none() {
        lines.push("How old a signature is.".to_owned());
    }
    lines
        .push("Whether a signature was withdrawn since, unless its digest, log entry or age is named here.".to_owned());
    lines
}

/// A whole number of the largest unit.
fn in_words(age: SignedDuration) -> String {
    let seconds = age.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (size, unit) = units.into_iter().find(|(size, _)| seconds % size == 0).unwrap_or((1, "second"));
    let count = seconds / size;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
