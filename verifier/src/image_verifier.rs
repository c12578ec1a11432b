//! A place for other schemes: what a program asks, whoever answers.
//!
//! A program that is written against [`ImageVerifier`] takes this crate's answer ([`PolicyVerifier`]) or that of another scheme: a list
//! of digests that somebody keeps, another signature format, two schemes that both have to say yes. The answer is given by value and
//! decided without waiting: whatever has to be fetched is evidence, and was fetched before.
//!
//! # What another scheme cannot do
//!
//! Make a [`VerifiedImage`]: only this crate's [`Verifier`] does. A proof is a type of the scheme's own, so a program that must not
//! accept anything else says so in its types, `ImageVerifier<Proof = VerifiedImage>`, and holds for it what holds for `VerifiedImage`
//! itself. What such a scheme could still do is hand out a proof of another image that was once verified: [`judge`] refuses that, whatever
//! the scheme, so ask through it.
//!
//! ```compile_fail
//! # use countersign_verifier::VerifiedImage;
//! # use countersign_verifier::image_verifier::{ImageVerifier, Judgement};
//! # use countersign_verifier::Asked;
//! struct Anything;
//! impl ImageVerifier for Anything {
//!     type Evidence = ();
//!     type Proof = VerifiedImage;
//!     fn answer(&self, asked: &Asked, _: &(), _: jiff::Timestamp) -> Judgement<VerifiedImage> {
//!         Judgement::Verified(VerifiedImage { asked: asked.clone() })
//!     }
//! }
//! ```

use countersign_oci::{Class, PinnedReference};
use countersign_policy::Policy;
use jiff::Timestamp;

use crate::error::Error;
use crate::evidence::Evidence;
use crate::report;
use crate::verified::VerifiedImage;
use crate::verify::{Asked, Verdict, Verifier};

/// Proof of an image. Its value is worth what its maker is: keep its fields private.
pub trait ImageProof {
    /// Returns the repository that was asked for, and the digest that the proof is about.
    fn reference(&self) -> &PinnedReference;
}

/// Something that can say whether an image is what it has to be.
///
/// It may be shared by threads and kept behind a `dyn`, and answers without waiting.
pub trait ImageVerifier: Send + Sync {
    /// What the answer is drawn from.
    type Evidence: ?Sized;
    /// What a yes is.
    type Proof: ImageProof;

    /// Answers. Ask through [`judge`], which compares the proof with the question.
    ///
    /// `now` is the time to decide at: an implementation reads no clock. What cannot be told is [`Judgement::Undecided`],
    /// never a rejection, and neither is ever a yes.
    fn answer(&self, asked: &Asked, evidence: &Self::Evidence, now: Timestamp) -> Judgement<Self::Proof>;
}

/// The answer of an [`ImageVerifier`].
#[derive(Debug)]
#[must_use]
pub enum Judgement<P> {
    /// Yes, and here is the proof.
    Verified(P),
    /// No.
    Rejected(Explanation),
    /// It cannot be told.
    Undecided(Explanation),
}

/// Why the answer is no, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// A stable name, for programs.
    pub code: String,
    /// Who or what is to blame.
    pub class: Class,
    /// Whether the same question may be answered later.
    pub retryable: bool,
    /// One line, for people.
    pub message: String,
}

impl Explanation {
    /// Returns an explanation.
    pub fn new(code: impl Into<String>, class: Class, retryable: bool, message: impl Into<String>) -> Self {
        Self { code: code.into(), class, retryable, message: message.into() }
    }
}

/// Returns the verifier's answer, once its proof is known to be about what was asked: repository and digest.
pub fn judge<V: ImageVerifier + ?Sized>(
    verifier: &V,
    asked: &Asked,
    evidence: &V::Evidence,
    now: Timestamp,
) -> Judgement<V::Proof> {
    match verifier.answer(asked, evidence, now) {
        Judgement::Verified(proof) if *proof.reference() != asked.reference => {
            let message = format!("the proof is of {}, and {} was asked for", proof.reference(), asked.reference);
            Judgement::Rejected(Explanation::new("proof-of-another-image", Class::Rejected, false, message))
        }
        judgement => judgement,
    }
}

impl ImageProof for VerifiedImage {
    fn reference(&self) -> &PinnedReference {
        self.reference()
    }
}

/// This crate's answer: a [`Verifier`] with the policy that images are held to.
#[derive(Debug)]
pub struct PolicyVerifier<'a> {
    /// Whose trusted root is believed.
    pub verifier: &'a Verifier,
    /// Who may have signed.
    pub policy: &'a Policy,
}

impl ImageVerifier for PolicyVerifier<'_> {
    type Evidence = Evidence;
    type Proof = VerifiedImage;

    fn answer(&self, asked: &Asked, evidence: &Evidence, now: Timestamp) -> Judgement<VerifiedImage> {
        match self.verifier.verify(asked, evidence, self.policy, now) {
            Ok(Verdict::Verified(image, _)) => Judgement::Verified(image),
            Ok(verdict @ Verdict::Rejected(_)) => Judgement::Rejected(explain(&verdict, Class::Rejected)),
            Ok(verdict) => Judgement::Undecided(explain(&verdict, Class::Unreachable)),
            Err(error) => Judgement::Undecided(explain_error(&error)),
        }
    }
}

fn explain(verdict: &Verdict, class: Class) -> Explanation {
    let error = report::document(verdict).error;
    let (code, retryable) = error.map_or(("undecided", false), |error| (error.code, error.retryable));
    Explanation::new(code, class, retryable, report::headline(verdict.findings()))
}

fn explain_error(error: &Error) -> Explanation {
    let retryable = matches!(error.class(), Class::Throttled | Class::Unreachable);
    Explanation::new(error.code(), error.class(), retryable, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use countersign_oci::Digest;

    use super::*;
    use crate::TrustedRoot;

    /// Another scheme: somebody keeps a list of digests.
    struct Listed(BTreeSet<Digest>);

    struct OnTheList(PinnedReference);

    impl ImageProof for OnTheList {
        fn reference(&self) -> &PinnedReference {
            &self.0
        }
    }

    impl ImageVerifier for Listed {
        type Evidence = str;
        type Proof = OnTheList;

        fn answer(&self, asked: &Asked, evidence: &str, _: Timestamp) -> Judgement<OnTheList> {
            match (self.0.contains(&asked.reference.digest()), evidence) {
                (true, "stale") => Judgement::Verified(OnTheList(asked.reference.repository().pin(Digest::of(b"old")))),
                (true, _) => Judgement::Verified(OnTheList(asked.reference.clone())),
                (false, _) => {
                    Judgement::Rejected(Explanation::new("not-listed", Class::Rejected, false, "it is not on the list"))
                }
            }
        }
    }

    fn asked(bytes: &[u8]) -> Asked {
        let repository: countersign_oci::Repository = "ghcr.io/octo/app".parse().unwrap();
        Asked { reference: repository.pin(Digest::of(bytes)), tag: None }
    }

    fn code<P>(judgement: Judgement<P>) -> Result<P, String> {
        match judgement {
            Judgement::Verified(proof) => Ok(proof),
            Judgement::Rejected(why) => Err(why.code),
            Judgement::Undecided(why) => Err(format!("? {}", why.code)),
        }
    }

    #[test]
    fn another_scheme_answers_behind_a_dyn_and_a_proof_of_another_image_is_refused() {
        let listed = Listed([Digest::of(b"good")].into());
        let verifier: &dyn ImageVerifier<Evidence = str, Proof = OnTheList> = &listed;
        let ask = |bytes, evidence| code(judge(verifier, &asked(bytes), evidence, Timestamp::UNIX_EPOCH));
        assert!(ask(b"good", "list").is_ok());
        assert_eq!(ask(b"bad", "list").err().as_deref(), Some("not-listed"));
        assert_eq!(ask(b"good", "stale").err().as_deref(), Some("proof-of-another-image"));
    }

    #[test]
    fn our_own_scheme_says_what_the_verifier_says() {
        let policy = |further: &str| {
            let signer = "  - {issuer: https://issuer.example, identity: https://github.com/o/a/.github/workflows/r.yml@refs/heads/main}";
            Policy::from_yaml("test", &format!("version: 1\nsigners:\n{signer}\n{further}")).unwrap()
        };
        let verifier = Verifier::new(TrustedRoot::embedded_public_good().unwrap()).unwrap();
        let ask = |policy: &Policy, evidence: &Evidence| {
            let ours: &dyn ImageVerifier<Evidence = Evidence, Proof = VerifiedImage> =
                &PolicyVerifier { verifier: &verifier, policy };
            code(judge(ours, &asked(b"image"), evidence, Timestamp::UNIX_EPOCH)).map(|_| ())
        };
        assert_eq!(ask(&policy(""), &Evidence::default()), Err("unsigned".into()));
        assert_eq!(ask(&policy("require: {tag: true}\n"), &Evidence::default()), Err("? tag-not-asked".into()));
        let unseen = Evidence { not_examined: 1, ..Evidence::default() };
        assert_eq!(ask(&policy(""), &unseen), Err("? undecided".into()));
    }
}
