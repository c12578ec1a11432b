//! Judges with the crate `sigstore`: `sigstore-rs-judge 0.14|0.15 bundles|images TRUSTED_ROOT QUESTIONS`.
//!
//! The crate has two ways. `bundles` are judged by its verifier of bundles: QUESTIONS is a JSON array of
//! `{"bundle", "artifact", "identity", "issuer"}`, the first two being files (0.14 takes no digest). `images` are looked up in
//! their registry by its module `cosign`, as admission controllers do it: `{"reference", "identity", "issuer"}`.
//!
//! Each question is answered by one JSON line: `{"accepted": true}` or `{"accepted": false, "why": "..."}`. What could not be
//! judged ends the program.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What a trusted root says, as both versions take it: with TUF left out, they have no reader for the file.
struct TrustedRoot {
    certificates: Vec<Vec<u8>>,
    certificate_logs: Vec<(String, Vec<u8>)>,
    logs: Vec<(String, Vec<u8>)>,
}

/// What the crate logs while it judges: its module `cosign` says nowhere else why it left a signature out.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, version, way, trusted_root, questions] = arguments.as_slice() else {
        return Err("usage: sigstore-rs-judge 0.14|0.15 bundles|images TRUSTED_ROOT QUESTIONS".into());
    };
    let root = TrustedRoot::read(trusted_root)?;
    let questions: Value = serde_json::from_slice(&fs::read(questions)?)?;
    let questions = array(&questions)?;
    match (version.as_str(), way.as_str()) {
        ("0.14", "bundles") => v0_14::bundles(&root, questions),
        ("0.14", "images") => v0_14::images(&root, questions),
        ("0.15", "bundles") => v0_15::bundles(&root, questions),
        ("0.15", "images") => v0_15::images(&root, questions),
        _ => Err(format!("{version} {way} is not built in").into()),
    }
}

/// The two versions have the same names for different types.
macro_rules! version {
    ($module:ident, $sigstore:ident) => {
        mod $module {
            use $sigstore::bundle::Bundle;
            use $sigstore::bundle::verify::blocking::Verifier;
            use $sigstore::bundle::verify::policy::Identity;
            use $sigstore::cosign::verification_constraint::{CertSubjectUrlVerifier, VerificationConstraint};
            use $sigstore::cosign::{ClientBuilder, CosignCapabilities, verify_constraints};
            use $sigstore::registry::{Auth, ClientConfig, ClientProtocol, OciReference};
            use $sigstore::rekor::apis::configuration::Configuration;
            use $sigstore::trust::ManualTrustRoot;

            use super::*;

            fn trust(root: &TrustedRoot) -> ManualTrustRoot<'_> {
                let certificates = root.certificates.iter().map(|der| CertificateDer::from(der.as_slice()));
                ManualTrustRoot {
                    fulcio_certs: certificates.collect(),
                    rekor_keys: root.logs.iter().cloned().collect(),
                    ctfe_keys: root.certificate_logs.iter().cloned().collect(),
                }
            }

            pub(super) fn bundles(root: &TrustedRoot, questions: &[Value]) -> Result<()> {
                let verifier = Verifier::new(Configuration::default(), trust(root))?;
                for question in questions {
                    let bundle: Bundle = serde_json::from_slice(&file(&question["bundle"])?)?;
                    let policy = Identity::new(text(&question["identity"])?, text(&question["issuer"])?);
                    let artifact = file(&question["artifact"])?;
                    answer(verifier.verify(artifact.as_slice(), bundle, &policy, true).map_err(|error| chain(&error)));
                }
                Ok(())
            }

            pub(super) fn images(root: &TrustedRoot, questions: &[Value]) -> Result<()> {
                let log = Log::start();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
                let builder = ClientBuilder::default().with_oci_client_config(config);
                let mut client = builder.with_trust_repository(&trust(root))?.build()?;
                for question in questions {
                    let image: OciReference = text(&question["reference"])?.parse()?;
                    let (url, issuer) = (text(&question["identity"])?, text(&question["issuer"])?);
                    let constraint: Box<dyn VerificationConstraint> = Box::new(CertSubjectUrlVerifier { url, issuer });
                    let layers = runtime.block_on(client.trusted_signature_layers(&Auth::Anonymous, &image))?;
                    let verified = verify_constraints(&layers, [constraint].iter()).map_err(|error| error.to_string());
                    let logged = log.take();
                    answer(verified.map_err(|why| format!("signatures: {}; {why}; {logged}", layers.len())));
                }
                Ok(())
            }
        }
    };
}

version!(v0_14, sigstore_0_14);
version!(v0_15, sigstore_0_15);

fn answer(verified: std::result::Result<(), String>) {
    match verified {
        Ok(()) => println!("{}", json!({"accepted": true})),
        Err(why) => println!("{}", json!({"accepted": false, "why": why})),
    }
}

impl Log {
    fn start() -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
            .with_ansi(false)
            .with_level(false)
            .with_target(false)
            .without_time()
            .with_writer(move || writer.clone())
            .init();
        log
    }

    /// What was logged since the last time, on one line; that there is no older signature under a tag is no news.
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let text = String::from_utf8_lossy(&bytes);
        text.lines().filter(|line| !line.contains("(.sig tag)")).collect::<Vec<_>>().join(" / ")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl TrustedRoot {
    fn read(path: &str) -> Result<Self> {
        let document: Value = serde_json::from_slice(&fs::read(path)?)?;
        let mut root = Self { certificates: Vec::new(), certificate_logs: Vec::new(), logs: Vec::new() };
        for authority in array(&document["certificateAuthorities"])? {
            for certificate in array(&authority["certChain"]["certificates"])? {
                root.certificates.push(bytes(&certificate["rawBytes"])?);
            }
        }
        let key = |log: &Value| Ok((hex(&bytes(&log["logId"]["keyId"])?), bytes(&log["publicKey"]["rawBytes"])?));
        root.certificate_logs = array(&document["ctlogs"])?.iter().map(key).collect::<Result<_>>()?;
        root.logs = array(&document["tlogs"])?.iter().map(key).collect::<Result<_>>()?;
        Ok(root)
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

fn file(value: &Value) -> Result<Vec<u8>> {
    Ok(fs::read(text(value)?)?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
