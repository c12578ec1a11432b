//! What verification found out, as plain text: the input of a decision.
//!
//! Every field is taken from something whose signature was checked. This crate cannot see that; the verifier fills them in.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// Annotation of a subject that lists the tags it was released under, separated by commas.
pub const TAGS_ANNOTATION: &str = "dev.countersign.tags";

/// Holds what a person or a gallery entry named: a mirror never changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Canonical repository with its registry, such as `registry.example/team/backend`.
    pub repository: String,
    /// The tag asked for, absent when only a digest was named.
    pub tag: Option<String>,
}

/// Holds what one verified signature says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFacts {
    /// OIDC issuer of the certificate (OID .8).
    pub issuer: Option<String>,
    /// Text of the certificate's only subject alternative name; absent when there is none or more than one.
    pub subject_alternative_name: Option<String>,
    /// Whether that name is of the URI kind; an e-mail address with the text of a URI is not one.
    pub subject_alternative_name_is_uri: bool,
    /// Claims of the build, from OIDs .9 to .24.
    pub claims: Claims,
    /// Every verified time of the signature.
    pub times: Vec<Timestamp>,
    /// `sha256:<hex>` RFC 6962 leaf hash of the canonicalised body of the log entry.
    pub log_entry: String,
    /// The transparency log whose key signed the checkpoint over that entry: by the name that the trusted root has for it, never by what the
    /// bundle claims. Logs that share a key or an address have one name. Empty where no log was verified: it counts for none.
    pub log: String,
    /// The digest asked for, `sha256:<hex>`.
    pub digest: String,
    /// Those subjects of the statement whose digest is the one asked for.
    pub subjects: Vec<SubjectFacts>,
}

/// Holds one subject of the signed statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectFacts {
    /// `repository@sha256:<hex>` where the signer bound a repository.
    pub name: Option<String>,
    /// What the signer said of the subject; [`TAGS_ANNOTATION`] holds its tags.
    pub annotations: BTreeMap<String, String>,
}

/// Holds the claims of a certificate's extensions, OID 1.3.6.1.4.1.57264.1.9 to .24.
///
/// The deprecated extensions .1 to .6 are not claims: nothing is ever compared with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// OID .9: the build instructions that asked for the signature.
    pub build_signer_uri: Option<String>,
    /// OID .10: the commit of those build instructions.
    pub build_signer_digest: Option<String>,
    /// OID .11: the kind of runner, such as `github-hosted`.
    pub runner_environment: Option<String>,
    /// OID .12: the repository that was built.
    pub source_repository_uri: Option<String>,
    /// OID .13: the commit that was built.
    pub source_repository_digest: Option<String>,
    /// OID .14: the ref that was built.
    pub source_repository_ref: Option<String>,
    /// OID .15: the number of that repository, which a new owner of its name does not get.
    pub source_repository_identifier: Option<String>,
    /// OID .16: the owner of that repository.
    pub source_repository_owner_uri: Option<String>,
    /// OID .17: the number of that owner.
    pub source_repository_owner_identifier: Option<String>,
    /// OID .18: the top-level build instructions.
    pub build_config_uri: Option<String>,
    /// OID .19: the commit of the top-level build instructions.
    pub build_config_digest: Option<String>,
    /// OID .20: the event that started the build.
    pub build_trigger: Option<String>,
    /// OID .21: the run.
    pub run_invocation_uri: Option<String>,
    /// OID .22: `public`, `private` or `internal`, at the time of signing.
    pub source_repository_visibility_at_signing: Option<String>,
    /// OID .23: the deployment environment.
    pub deployment_environment: Option<String>,
    /// OID .24: the subject of the identity token.
    pub token_subject: Option<String>,
}
