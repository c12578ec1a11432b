//! Just enough of a bundle to say what it is, before the library, which reads more shapes than are accepted, parses it.
//!
//! Nothing here believes anything: fields are counted, and told apart by being there or not.

use countersign_oci::limits;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::reason::Reason;

/// The outline of a bundle, of any version.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outline {
    pub(crate) media_type: Option<String>,
    pub(crate) verification_material: Option<MaterialOutline>,
    pub(crate) dsse_envelope: Option<EnvelopeOutline>,
    pub(crate) message_signature: Option<IgnoredAny>,
}

/// The outline of the verification material.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MaterialOutline {
    pub(crate) certificate: Option<IgnoredAny>,
    pub(crate) public_key: Option<IgnoredAny>,
    pub(crate) x509_certificate_chain: Option<ChainOutline>,
    #[serde(default)]
    tlog_entries: Option<Vec<EntryOutline>>,
    #[serde(default)]
    timestamp_verification_data: Option<TimestampOutline>,
}

/// The outline of a certificate chain.
#[derive(Deserialize)]
pub(crate) struct ChainOutline {
    #[serde(default)]
    certificates: Option<Vec<IgnoredAny>>,
}

/// The outline of a log entry.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntryOutline {
    #[serde(default)]
    log_index: Option<serde_json::Value>,
    kind_version: Option<KindOutline>,
    pub(crate) inclusion_promise: Option<IgnoredAny>,
    inclusion_proof: Option<ProofOutline>,
}

#[derive(Deserialize)]
struct KindOutline {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct ProofOutline {
    #[serde(default)]
    checkpoint: Option<CheckpointOutline>,
}

#[derive(Deserialize)]
struct CheckpointOutline {
    #[serde(default)]
    envelope: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimestampOutline {
    #[serde(default)]
    rfc3161_timestamps: Option<Vec<IgnoredAny>>,
}

/// The outline of a DSSE envelope.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvelopeOutline {
    #[serde(default)]
    signatures: Option<Vec<IgnoredAny>>,
}

/// Returns a bundle's text and outline. Refuses more than [`limits::BUNDLE_BYTES`] bytes and what is no JSON object.
pub(crate) fn read(bytes: &[u8]) -> Result<(&str, Outline), Reason> {
    if bytes.len() as u64 > limits::BUNDLE_BYTES {
        return Err(Reason::TooLarge { bytes: bytes.len() as u64, limit: limits::BUNDLE_BYTES });
    }
    let text = std::str::from_utf8(bytes).map_err(|e| malformed(&e))?;
    let outline = serde_json::from_str(text).map_err(|e| malformed(&e))?;
    Ok((text, outline))
}

impl MaterialOutline {
    /// Returns the only log entry.
    pub(crate) fn entry(&self) -> Result<&EntryOutline, Reason> {
        match self.tlog_entries.as_deref().unwrap_or_default() {
            [entry] => Ok(entry),
            entries => Err(Reason::LogEntryCount { found: entries.len() }),
        }
    }

    /// Refuses more than [`limits::TIMESTAMPS`] timestamps: each costs a certificate chain.
    pub(crate) fn check_timestamps(&self) -> Result<(), Reason> {
        let timestamps = self.timestamp_verification_data.as_ref().and_then(|data| data.rfc3161_timestamps.as_ref());
        match timestamps.map_or(0, Vec::len) {
            found if found > limits::TIMESTAMPS => Err(Reason::TooManyTimestamps { found, limit: limits::TIMESTAMPS }),
            _ => Ok(()),
        }
    }
}

impl ChainOutline {
    pub(crate) fn len(&self) -> usize {
        self.certificates.as_ref().map_or(0, Vec::len)
    }
}

impl EntryOutline {
    /// Returns kind and version, empty where there are none.
    pub(crate) fn kind(&self) -> (&str, &str) {
        self.kind_version.as_ref().map_or(("", ""), |kind| (kind.kind.as_str(), kind.version.as_str()))
    }

    /// Refuses an index that is no natural number. It may be left out where it is 0.
    pub(crate) fn check_log_index(&self) -> Result<(), Reason> {
        let natural = match &self.log_index {
            None | Some(serde_json::Value::Null) => true,
            Some(serde_json::Value::String(text)) => text.parse::<u64>().is_ok(),
            Some(value) => value.is_u64(),
        };
        if natural { Ok(()) } else { Err(malformed(&"a log entry's index is no natural number")) }
    }

    /// Refuses an entry without inclusion proof, and a checkpoint that has not the form of a signed note.
    pub(crate) fn check_proof(&self) -> Result<(), Reason> {
        let proof = self.inclusion_proof.as_ref().ok_or(Reason::NoInclusionProof)?;
        let envelope = proof.checkpoint.as_ref().and_then(|checkpoint| checkpoint.envelope.as_deref());
        match envelope {
            // Whether the proof is one without its checkpoint is told when the numbers in it have been parsed.
            None | Some("") => Ok(()),
            Some(note) => match sigstore_types::Checkpoint::from_text(note) {
                Ok(_) => Ok(()),
                Err(cause) => Err(Reason::Checkpoint { detail: cause.to_string() }),
            },
        }
    }
}

impl EnvelopeOutline {
    /// Refuses other than one signature.
    pub(crate) fn check_signatures(&self) -> Result<(), Reason> {
        match self.signatures.as_ref().map_or(0, Vec::len) {
            1 => Ok(()),
            found => Err(Reason::SignatureCount { found }),
        }
    }
}

pub(crate) fn malformed(cause: &dyn std::fmt::Display) -> Reason {
    Reason::MalformedBundle { detail: cause.to_string() }
}
