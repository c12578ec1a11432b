//! `cosign verify` command lines.

use super::shell::{self, Joint};
use super::{Draft, ImportError, Imported, Names, Said, inexpressible};
use crate::claim::Claim;
use crate::error::{Location, PolicyError};
use crate::loss::{Loss, LossCode};

/// Reads the text of one `cosign verify` command, or of several joined by `||` (any of them is enough) or `&&` (all must agree).
///
/// At most 256 KiB. Nothing is run: variables, substitutions and other shell constructs are refused.
pub fn from_cosign_text(origin: &str, text: &str) -> Result<Imported, ImportError> {
    if text.len() > MAX_BYTES {
        let at = Location::new(origin, "");
        return Err(PolicyError::TooLarge { at, bytes: text.len(), limit: MAX_BYTES }.into());
    }
    let (commands, joint) = shell::commands(origin, text)?;
    build(origin, &commands, joint)
}

/// Reads the words of one `cosign verify` command.
pub fn from_cosign(arguments: &[String]) -> Result<Imported, ImportError> {
    build("cosign verify", &[arguments.to_vec()], None)
}

fn build(origin: &str, commands: &[Vec<String>], joint: Option<Joint>) -> Result<Imported, ImportError> {
    let mut draft = Draft::default();
    let mut terms = None;
    for words in commands {
        let command = Command::read(origin, words, &mut draft)?;
        let entry = draft.signer(command.names, None, &Location::new(origin, ""))?;
        for (claim, value) in command.claims {
            entry.claim(claim, &value);
        }
        let own = (command.annotations, command.trust_file);
        if terms.as_ref().is_some_and(|terms| *terms != own) {
            let at = Location::new(origin, "");
            let why = "commands differ in their annotations or trusted roots, and a policy has one of each";
            return Err(inexpressible(
                "terms-differ",
                &at,
                "",
                why,
                Some("import each command as a policy of its own"),
            ));
        }
        terms = Some(own);
    }
    (draft.annotations, draft.trust_file) = terms.unwrap_or_default();
    if joint == Some(Joint::And) {
        draft.threshold = Some((draft.entries.len(), Location::new(origin, "&&")));
    }
    draft.finish(origin)
}

/// What one command asks for.
struct Command {
    names: Names,
    claims: Vec<(Claim, String)>,
    annotations: std::collections::BTreeMap<String, String>,
    trust_file: Option<String>,
}

impl Command {
    fn read(origin: &str, words: &[String], draft: &mut Draft) -> Result<Self, ImportError> {
        let mut command =
            Self { names: Names::default(), claims: Vec::new(), annotations: [].into(), trust_file: None };
        let mut words = words.iter().peekable();
        words.next_if(|word| *word == "cosign");
        if words.next_if(|word| *word == "verify").is_none() {
            let at = Location::new(origin, "");
            let found = words.next().map_or("", String::as_str);
            let why = "is no `cosign verify` command: only what checks the signatures of an image is a policy";
            return Err(inexpressible("not-cosign-verify", &at, found, why, None));
        }
        let mut seen = std::collections::BTreeSet::new();
        while let Some(word) = words.next() {
            let Some((flag, mut value)) = flag(word) else {
                let at = Location::new(origin, "");
                draft.lose(Loss::new(LossCode::ImageScope, &at, word, "the image is named where the policy is used"));
                continue;
            };
            let at = Location::new(origin, &format!("--{flag}"));
            let kind = kind(&flag);
            if value.is_none()
                && !matches!(kind, Kind::Ignored(_) | Kind::OffSwitch | Kind::Switch | Kind::SwitchRefused(_))
            {
                value = words.next().cloned();
                if value.is_none() {
                    return Err(inexpressible("flag-without-value", &at, "", "has no value", None));
                }
            }
            if kind != Kind::Annotation && kind != Kind::Setting && !seen.insert(flag.clone()) {
                return Err(inexpressible("flag-given-twice", &at, "", "is given twice", None));
            }
            command.take(&flag, kind, value, &at, draft)?;
        }
        Ok(command)
    }

    fn take(
        &mut self,
        flag: &str,
        kind: Kind,
        value: Option<String>,
        at: &Location,
        draft: &mut Draft,
    ) -> Result<(), ImportError> {
        let is_switch = matches!(kind, Kind::Ignored(_) | Kind::OffSwitch | Kind::Switch | Kind::SwitchRefused(_));
        let on = is_switch && switched_on(value.as_deref(), at)?;
        let text = value.clone().unwrap_or_default();
        let said = |text: String| Some(Said { text, at: at.clone() });
        match kind {
            // Empty is as good as absent to cosign.
            _ if text.is_empty() && value.is_some() => {}
            Kind::Identity => self.names.subject = said(text),
            Kind::IdentityPattern => self.names.subject_pattern = said(text),
            Kind::Issuer => self.names.issuer = said(text),
            Kind::IssuerPattern => self.names.issuer_pattern = said(text),
            Kind::Claim(claim) => self.claims.push((claim, text)),
            Kind::TrustedRoot => self.trust_file = Some(text),
            Kind::Annotation => self.annotation(&text, at)?,
            Kind::Setting => draft.lose(Loss::new(LossCode::RegistrySettings, at, "", SETTING)),
            Kind::Switch if on => draft.lose(Loss::new(LossCode::RegistrySettings, at, "", SETTING)),
            Kind::Ignored(code) if on => draft.lose(Loss::new(code, at, text, ALWAYS)),
            Kind::OffSwitch if !on => {
                let (code, became) = match flag {
                    "check-claims" => {
                        (LossCode::ClaimsUnchecked, "the signed digest is always compared with the image")
                    }
                    _ => (LossCode::LegacySignatures, "only signatures in bundles are seen"),
                };
                draft.lose(Loss::new(code, at, text, became));
            }
            Kind::SwitchRefused(why) if on => return Err(inexpressible("flag-refused", at, &text, why, None)),
            Kind::Switch | Kind::Ignored(_) | Kind::OffSwitch | Kind::SwitchRefused(_) => {}
            Kind::Digest if text == "sha256" => {}
            Kind::Digest => {
                return Err(inexpressible("flag-refused", at, &text, "asks for another digest than sha256", None));
            }
            Kind::Refused(why) => return Err(inexpressible("flag-refused", at, "", why, None)),
            Kind::CustomTrust => return Err(inexpressible("custom-trust", at, &text, CUSTOM_TRUST, TRUST_ADVICE)),
            Kind::Unknown => return Err(inexpressible("unknown-flag", at, "", "is no flag of `cosign verify`", None)),
        }
        Ok(())
    }

    /// Cosign splits the value at commas, and each part at the first `=`.
    fn annotation(&mut self, text: &str, at: &Location) -> Result<(), ImportError> {
        if text.contains(['"', '\n']) {
            return Err(inexpressible("annotation-quotes", at, text, "has quotes, which cosign reads as CSV", None));
        }
        for part in text.split(',') {
            let Some((key, value)) = part.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(inexpressible("annotation-form", at, part, "is no KEY=VALUE", None));
            };
            self.annotations.insert(key.to_owned(), value.to_owned());
        }
        Ok(())
    }
}

/// What a flag means for a policy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Annotation,
    Claim(Claim),
    CustomTrust,
    Digest,
    Identity,
    IdentityPattern,
    /// A switch that turns off what is always checked here.
    Ignored(LossCode),
    Issuer,
    IssuerPattern,
    /// A switch that is on unless it is turned off.
    OffSwitch,
    Refused(&'static str),
    /// A flag with a value that says nothing about who may have signed.
    Setting,
    /// The same, without a value.
    Switch,
    SwitchRefused(&'static str),
    TrustedRoot,
    Unknown,
}

fn kind(flag: &str) -> Kind {
    match flag {
        "certificate-identity" => Kind::Identity,
        "certificate-identity-regexp" => Kind::IdentityPattern,
        "certificate-oidc-issuer" => Kind::Issuer,
        "certificate-oidc-issuer-regexp" => Kind::IssuerPattern,
        "certificate-github-workflow-ref" => Kind::Claim(Claim::Ref),
        "certificate-github-workflow-repository" => Kind::Claim(Claim::Repository),
        "certificate-github-workflow-trigger" => Kind::Claim(Claim::Trigger),
        "certificate-github-workflow-name" | "certificate-github-workflow-sha" => {
            Kind::Refused("is a claim that policies do not know, and without it more would be accepted")
        }
        "annotations" => Kind::Annotation,
        "trusted-root" => Kind::TrustedRoot,
        "insecure-ignore-tlog" | "private-infrastructure" => Kind::Ignored(LossCode::TlogIgnored),
        "insecure-ignore-sct" => Kind::Ignored(LossCode::SctIgnored),
        "check-claims" | "new-bundle-format" => Kind::OffSwitch,
        "sk" => Kind::SwitchRefused("names a key, and a policy names identities"),
        "key" | "slot" => Kind::Refused("names a key, and a policy names identities"),
        "certificate" | "sct" | "signature" | "payload" | "attachment" => {
            Kind::Refused("names a detached part of one signature")
        }
        "certificate-chain" | "ca-roots" | "ca-intermediates" | "timestamp-certificate-chain" => Kind::CustomTrust,
        "use-signed-timestamps" => Kind::SwitchRefused(
            "demands a timestamp of an authority, and a policy also accepts the time at which a log included the signature",
        ),
        "local-image" => Kind::SwitchRefused("names a folder instead of an image"),
        "signature-digest-algorithm" => Kind::Digest,
        "allow-http-registry"
        | "allow-insecure-registry"
        | "experimental-oci11"
        | "k8s-keychain"
        | "offline"
        | "verbose" => Kind::Switch,
        "attachment-tag-prefix"
        | "max-workers"
        | "output"
        | "output-file"
        | "registry-cacert"
        | "registry-client-cert"
        | "registry-client-key"
        | "registry-password"
        | "registry-server-name"
        | "registry-token"
        | "registry-username"
        | "rekor-url"
        | "timeout" => Kind::Setting,
        _ => Kind::Unknown,
    }
}

/// Returns the long name of a flag and the value that is written together with it; none for an image.
fn flag(word: &str) -> Option<(String, Option<String>)> {
    if let Some(long) = word.strip_prefix("--") {
        return Some(match long.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (long.to_owned(), None),
        });
    }
    let rest = word.strip_prefix('-')?;
    let letter = rest.chars().next()?;
    let long = match letter {
        'a' => "annotations",
        // It takes no value: what follows in the same word is another flag, and cosign knows none that is short and joins.
        'd' if rest.len() == 1 => "verbose",
        'o' => "output",
        't' => "timeout",
        _ => rest,
    };
    let value = rest.get(1..).filter(|value| !value.is_empty() && long != rest);
    Some((long.to_owned(), value.map(|value| value.strip_prefix('=').unwrap_or(value).to_owned())))
}

fn switched_on(value: Option<&str>, at: &Location) -> Result<bool, ImportError> {
    match value {
        None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(inexpressible("flag-value", at, other, "is neither true nor false", None)),
    }
}

const SETTING: &str = "has no say in who may have signed, and is left out";
const ALWAYS: &str = "is always checked";
const CUSTOM_TRUST: &str = "names certificates of its own, and a policy names a trusted root";
const TRUST_ADVICE: Option<&str> = Some("put them into a trusted root and give --trusted-root FILE");
const MAX_BYTES: usize = 256 * 1024;
