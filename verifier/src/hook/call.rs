use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use countersign_oci::{Digest, DigestError, ImageReference, ReferenceError, printable};
use serde::Deserialize;

use super::answer::Outcome;
use crate::verify::Asked;

/// What containerd says is on standard input.
pub const DESCRIPTOR_MEDIA_TYPE: &str = "application/vnd.oci.descriptor.v1+json";
/// Bytes of a descriptor: containerd's have some 200, and an image may add annotations.
pub const DESCRIPTOR_BYTES: u64 = 64 << 10;

/// The arguments of one question, as they were passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    name: String,
    digest: String,
    media_type: String,
    /// The settings, where a wrapper names others than those of the node.
    pub settings: Option<PathBuf>,
}

/// The part of a descriptor that binds it to the question.
#[derive(Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    size: u64,
}

impl Call {
    /// Returns the question that the arguments are (without the program and its subcommand), or nothing where they are none of
    /// containerd's: then they are a person's.
    ///
    /// Flags are read as Go reads them: `-name NAME`, `--name NAME`, `-name=NAME`. One that is unknown, missing or there twice makes a
    /// question that cannot be answered, never one with less in it.
    #[must_use]
    pub fn of(arguments: &[OsString]) -> Option<Result<Self, CallError>> {
        let mut flags = Flags::default();
        let read = flags.read(arguments);
        flags.asks.then(|| read.and_then(|()| flags.call()))
    }

    /// Returns what is asked for, once everything that was passed says the same.
    ///
    /// The name is normalised; where it has no tag, none is asked for. What standard input describes must have the digest of the
    /// arguments, and so must a name that has one.
    pub fn question(&self, stdin: &[u8]) -> Result<Asked, CallError> {
        if self.media_type != DESCRIPTOR_MEDIA_TYPE {
            return Err(CallError::MediaType { found: printable(&self.media_type, 100) });
        }
        let digest: Digest =
            self.digest.parse().map_err(|source| CallError::Digest { text: printable(&self.digest, 100), source })?;
        let reference: ImageReference =
            self.name.parse().map_err(|source| CallError::Name { name: printable(&self.name, 300), source })?;
        if let Some(named) = reference.digest().filter(|named| *named != digest) {
            return Err(CallError::OtherDigest { place: "the name", found: named.to_string(), asked: digest });
        }
        if stdin.len() as u64 > DESCRIPTOR_BYTES {
            return Err(CallError::TooLong { limit: DESCRIPTOR_BYTES });
        }
        let descriptor: Descriptor =
            serde_json::from_slice(stdin).map_err(|source| CallError::Descriptor { source })?;
        if descriptor.digest != self.digest {
            let found = printable(&descriptor.digest, 100);
            return Err(CallError::OtherDigest { place: STANDARD_INPUT, found, asked: digest });
        }
        if descriptor.media_type.is_empty() || descriptor.size == 0 {
            return Err(CallError::EmptyDescriptor);
        }
        Ok(Asked { reference: reference.repository().pin(digest), tag: reference.tag().cloned() })
    }
}

/// The flags that were found so far.
#[derive(Default)]
struct Flags {
    /// One of containerd's own is among them.
    asks: bool,
    name: Option<String>,
    digest: Option<String>,
    media_type: Option<String>,
    settings: Option<PathBuf>,
}

impl Flags {
    /// Reads on after a mistake: whether containerd asks must not depend on what comes first.
    fn read(&mut self, arguments: &[OsString]) -> Result<(), CallError> {
        let mut rest = arguments.iter();
        let mut outcome = Ok(());
        while let Some(argument) = rest.next() {
            let read = self.one(argument, &mut rest);
            outcome = outcome.and(read);
        }
        outcome
    }

    fn one<'a>(&mut self, argument: &OsStr, rest: &mut impl Iterator<Item = &'a OsString>) -> Result<(), CallError> {
        let unknown = || CallError::Unknown { argument: printable(&argument.to_string_lossy(), 100) };
        let text = argument.to_str().ok_or_else(unknown)?;
        let flag = text.strip_prefix("--").or_else(|| text.strip_prefix('-')).ok_or_else(unknown)?;
        let (flag, value) = flag.split_once('=').map_or((flag, None), |(flag, value)| (flag, Some(value.to_owned())));
        let (slot, flag) = match flag {
            "name" => (&mut self.name, "-name"),
            "digest" => (&mut self.digest, "-digest"),
            "stdin-media-type" => (&mut self.media_type, "-stdin-media-type"),
            "config" => return self.config(value, rest),
            _ => return Err(unknown()),
        };
        self.asks = true;
        let value = match value {
            Some(value) => value,
            None => rest.next().and_then(|value| value.to_str()).ok_or(CallError::Missing { flag })?.to_owned(),
        };
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(CallError::Twice { flag }),
        }
    }

    fn config<'a>(
        &mut self,
        value: Option<String>,
        rest: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<(), CallError> {
        let flag = "--config";
        let path = value.map(PathBuf::from).or_else(|| rest.next().map(PathBuf::from));
        let path = path.filter(|path| !path.as_os_str().is_empty()).ok_or(CallError::Missing { flag })?;
        match self.settings.replace(path) {
            None => Ok(()),
            Some(_) => Err(CallError::Twice { flag }),
        }
    }

    fn call(&self) -> Result<Call, CallError> {
        let given = |value: &Option<String>, flag| {
            value.clone().filter(|value| !value.is_empty()).ok_or(CallError::Missing { flag })
        };
        Ok(Call {
            name: given(&self.name, "-name")?,
            digest: given(&self.digest, "-digest")?,
            media_type: given(&self.media_type, "-stdin-media-type")?,
            settings: self.settings.clone(),
        })
    }
}

/// Why what containerd passed is not a question that can be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// What is on standard input is no descriptor.
    #[error("what is on standard input is not a descriptor")]
    Descriptor {
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The digest is not one that is accepted.
    #[error("`{text}` is not a digest that is accepted")]
    Digest {
        /// The text, fit for printing.
        text: String,
        /// What is wrong with it.
        #[source]
        source: DigestError,
    },
    /// The descriptor describes nothing.
    #[error("the descriptor on standard input has no media type or no size")]
    EmptyDescriptor,
    /// Standard input has another form than is known.
    #[error("standard input is said to be `{found}`, and only `{DESCRIPTOR_MEDIA_TYPE}` is understood")]
    MediaType {
        /// What it is said to be, fit for printing.
        found: String,
    },
    /// A flag is not there, or has no value.
    #[error("{flag} is missing")]
    Missing {
        /// The flag.
        flag: &'static str,
    },
    /// The name is none.
    #[error("`{name}` is not the name of an image that is understood")]
    Name {
        /// The name, fit for printing.
        name: String,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// Two places speak of different digests.
    #[error("{place} has the digest {found}, and -digest is {asked}")]
    OtherDigest {
        /// Where the other one stands.
        place: &'static str,
        /// The other one, fit for printing.
        found: String,
        /// The one of the arguments.
        asked: Digest,
    },
    /// Standard input does not end where a descriptor ends.
    #[error("standard input has more than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: u64,
    },
    /// A flag is given more than once.
    #[error("{flag} is given more than once")]
    Twice {
        /// The flag.
        flag: &'static str,
    },
    /// Something among the arguments is unknown: what it changes is unknown too.
    #[error("`{argument}` is not an argument that is understood")]
    Unknown {
        /// The argument, fit for printing.
        argument: String,
    },
}

impl CallError {
    /// Returns what the answer is. Arguments that are not understood stay so: whoever calls has to change. What is on standard input
    /// may have been cut off, and the next call may read all of it.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Descriptor { .. }
            | Self::EmptyDescriptor
            | Self::OtherDigest { place: STANDARD_INPUT, .. }
            | Self::TooLong { .. } => Outcome::Undecided,
            _ => Outcome::Misconfigured,
        }
    }
}

const STANDARD_INPUT: &str = "standard input";

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn of(arguments: &[&str]) -> Option<Result<Call, CallError>> {
        Call::of(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    fn call(name: &str) -> Call {
        let digest = format!("sha256:{HEX}");
        of(&["-name", name, "-digest", &digest, "-stdin-media-type", DESCRIPTOR_MEDIA_TYPE]).unwrap().unwrap()
    }

    fn descriptor(digest: &str) -> String {
        format!(r#"{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{digest}","size":123}}"#)
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let expected = of(&["-name", "a.b/c:v1", "-digest", "d", "-stdin-media-type", "m"]).unwrap().unwrap();
        for arguments in [
            &["-name=a.b/c:v1", "-digest=d", "-stdin-media-type=m"][..],
            &["--name", "a.b/c:v1", "--digest", "d", "--stdin-media-type", "m"],
            &["--stdin-media-type=m", "-digest", "d", "--name=a.b/c:v1"],
        ] {
            assert_eq!(of(arguments).unwrap().unwrap(), expected, "{arguments:?}");
        }
        let other = of(&["--config", "x.yaml", "-name", "a.b/c:v1", "-digest", "d", "-stdin-media-type", "m"]);
        assert_eq!(other.unwrap().unwrap().settings.as_deref(), Some("x.yaml".as_ref()));
    }

    #[test]
    fn what_a_person_types_is_no_question_of_containerd() {
        for arguments in [&[][..], &["verify", "a.b/c"], &["--help"], &["--check", "x"], &["--config", "-name"]] {
            assert!(of(arguments).is_none(), "{arguments:?}");
        }
    }

    #[test]
    fn a_question_with_more_or_less_than_is_known_has_no_answer() {
        let whole = ["-name", "a.b/c:v1", "-digest", "d", "-stdin-media-type", "m"];
        for (arguments, code) in [
            (&whole[..4], "-stdin-media-type is missing"),
            (&whole[2..], "-name is missing"),
            (&whole[..5], "-stdin-media-type is missing"),
            (&["-name=", "-digest", "d", "-stdin-media-type", "m"], "-name is missing"),
            (&[&whole[..], &["-name", "x"]].concat(), "-name is given more than once"),
            (&[&whole[..], &["-insecure"]].concat(), "`-insecure` is not an argument that is understood"),
            (&[&["-insecure"], &whole[..]].concat(), "`-insecure` is not an argument that is understood"),
            (&[&["extra"], &whole[..]].concat(), "`extra` is not an argument that is understood"),
            (&[&whole[..], &["--config="]].concat(), "--config is missing"),
        ] {
            assert_eq!(of(arguments).unwrap().unwrap_err().to_string(), code, "{arguments:?}");
        }
    }

    #[test]
    fn name_digest_and_descriptor_make_the_question() {
        let digest = format!("sha256:{HEX}");
        let stdin = descriptor(&digest);
        for (name, repository, tag) in [
            ("docker.io/library/nginx:latest", "docker.io/library/nginx", Some("latest")),
            ("127.0.0.1:5004/octo/app:v1", "127.0.0.1:5004/octo/app", Some("v1")),
            (&format!("ghcr.io/octo/app@{digest}"), "ghcr.io/octo/app", None),
        ] {
            let asked = call(name).question(stdin.as_bytes()).unwrap();
            assert_eq!(asked.reference.to_string(), format!("{repository}@{digest}"));
            assert_eq!(asked.tag.as_ref().map(ToString::to_string).as_deref(), tag, "{name}");
        }
    }

    #[test]
    fn what_standard_input_says_must_be_what_is_asked() {
        let digest = format!("sha256:{HEX}");
        let other = format!("sha256:{}", "0".repeat(64));
        let question = |stdin: &str| call("ghcr.io/octo/app:v1").question(stdin.as_bytes());
        assert!(matches!(question(&descriptor(&other)), Err(CallError::OtherDigest { place: "standard input", .. })));
        assert!(matches!(question(&descriptor(&digest.to_uppercase())), Err(CallError::OtherDigest { .. })));
        let twice = descriptor(&digest).replace("\"size\"", &format!("\"digest\":\"{other}\",\"size\""));
        let deep = "[".repeat(60_000);
        for malformed in ["", "{}", "null", "[]", &stdin_cut(), &twice, &deep, &format!("{}{{}}", descriptor(&digest))]
        {
            assert!(matches!(question(malformed), Err(CallError::Descriptor { .. })), "{malformed:.60}");
        }
        let endless = format!("{}{}", descriptor(&digest), " ".repeat(1 << 20));
        assert!(matches!(question(&endless), Err(CallError::TooLong { .. })));
        let empty = format!(r#"{{"mediaType":"","digest":"{digest}","size":0}}"#);
        assert!(matches!(question(&empty), Err(CallError::EmptyDescriptor)));
    }

    fn stdin_cut() -> String {
        let whole = descriptor(&format!("sha256:{HEX}"));
        whole[..whole.len() - 1].to_owned()
    }

    #[test]
    fn other_media_types_digests_and_names_are_refused() {
        let digest = format!("sha256:{HEX}");
        let ask = |name: &str, digest: &str, media_type: &str| {
            let call = of(&["-name", name, "-digest", digest, "-stdin-media-type", media_type]).unwrap().unwrap();
            call.question(descriptor(digest).as_bytes())
        };
        let name = "ghcr.io/octo/app:v1";
        assert!(ask(name, &digest, DESCRIPTOR_MEDIA_TYPE).is_ok());
        for media_type in ["application/json", "application/vnd.oci.descriptor.v2+json", "APPLICATION/VND.OCI"] {
            assert!(matches!(ask(name, &digest, media_type), Err(CallError::MediaType { .. })), "{media_type}");
        }
        for bad in ["sha256:12", &format!("sha512:{HEX}{HEX}"), HEX] {
            assert!(matches!(ask(name, bad, DESCRIPTOR_MEDIA_TYPE), Err(CallError::Digest { .. })), "{bad}");
        }
        for bad in ["https://ghcr.io/octo/app", "ghcr.io/Octo/App:v1", "a b", "--check"] {
            assert!(matches!(ask(bad, &digest, DESCRIPTOR_MEDIA_TYPE), Err(CallError::Name { .. })), "{bad}");
        }
        let other = format!("ghcr.io/octo/app@sha256:{}", "0".repeat(64));
        let refused = ask(&other, &digest, DESCRIPTOR_MEDIA_TYPE);
        assert!(matches!(refused, Err(CallError::OtherDigest { place: "the name", .. })));
    }
}
