//! Judges bundles with the crate `sigstore`: `sigstore-rs-judge 0.14|0.15 TRUSTED_ROOT QUESTIONS`.
//!
//! QUESTIONS is a JSON array of `{"bundle", "artifact", "identity", "issuer"}`, the first two being files. The artifact is a file
//! because 0.14 takes no digest. Each question is answered by one JSON line: `{"accepted": true}` or
//! `{"accepted": false, "why": "..."}`. What could not be judged ends the program.

use std::error::Error;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What a trusted root says, as both versions take it: with TUF left out, they have no reader for the file.
struct TrustedRoot {
    certificates: Vec<Vec<u8>>,
    certificate_logs: Vec<(String, Vec<u8>)>,
}

/// What is judged.
struct Question {
    bundle: Vec<u8>,
    artifact: Vec<u8>,
    identity: String,
    issuer: String,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, version, trusted_root, questions] = arguments.as_slice() else {
        return Err("usage: sigstore-rs-judge 0.14|0.15 TRUSTED_ROOT QUESTIONS".into());
    };
    let root = TrustedRoot::read(trusted_root)?;
    let questions: Value = serde_json::from_slice(&fs::read(questions)?)?;
    let questions: Vec<Question> = array(&questions)?.iter().map(Question::read).collect::<Result<_>>()?;
    match version.as_str() {
        "0.14" => v0_14::judge(&root, &questions),
        "0.15" => v0_15::judge(&root, &questions),
        other => Err(format!("{other} is not a version that is built in").into()),
    }
}

/// The two versions have the same names for different types.
macro_rules! version {
    ($module:ident, $sigstore:ident) => {
        mod $module {
            use $sigstore::bundle::Bundle;
            use $sigstore::bundle::verify::blocking::Verifier;
            use $sigstore::bundle::verify::policy::Identity;
            use $sigstore::rekor::apis::configuration::Configuration;
            use $sigstore::trust::ManualTrustRoot;

            use super::*;

            pub(super) fn judge(root: &TrustedRoot, questions: &[Question]) -> Result<()> {
                let certificates = root.certificates.iter().map(|der| CertificateDer::from(der.as_slice()));
                let trust = ManualTrustRoot {
                    fulcio_certs: certificates.collect(),
                    rekor_keys: Default::default(),
                    ctfe_keys: root.certificate_logs.iter().cloned().collect(),
                };
                let verifier = Verifier::new(Configuration::default(), trust)?;
                for question in questions {
                    let bundle: Bundle = serde_json::from_slice(&question.bundle)?;
                    let policy = Identity::new(&question.identity, &question.issuer);
                    let answer = match verifier.verify(question.artifact.as_slice(), bundle, &policy, true) {
                        Ok(()) => json!({"accepted": true}),
                        Err(error) => json!({"accepted": false, "why": chain(&error)}),
                    };
                    println!("{answer}");
                }
                Ok(())
            }
        }
    };
}

version!(v0_14, sigstore_0_14);
version!(v0_15, sigstore_0_15);

impl TrustedRoot {
    fn read(path: &str) -> Result<Self> {
        let document: Value = serde_json::from_slice(&fs::read(path)?)?;
        let mut root = Self { certificates: Vec::new(), certificate_logs: Vec::new() };
        for authority in array(&document["certificateAuthorities"])? {
            for certificate in array(&authority["certChain"]["certificates"])? {
                root.certificates.push(bytes(&certificate["rawBytes"])?);
            }
        }
        for log in array(&document["ctlogs"])? {
            root.certificate_logs.push((text(&log["logId"]["keyId"])?, bytes(&log["publicKey"]["rawBytes"])?));
        }
        Ok(root)
    }
}

impl Question {
    fn read(question: &Value) -> Result<Self> {
        Ok(Self {
            bundle: fs::read(text(&question["bundle"])?)?,
            artifact: fs::read(text(&question["artifact"])?)?,
            identity: text(&question["identity"])?,
            issuer: text(&question["issuer"])?,
        })
    }
}

/// An error with its causes: the crate's own messages leave them out.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

fn array(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().ok_or_else(|| format!("not an array: {value}").into())
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(ToOwned::to_owned).ok_or_else(|| format!("not a text: {value}").into())
}

fn bytes(value: &Value) -> Result<Vec<u8>> {
    Ok(STANDARD.decode(text(value)?)?)
}
