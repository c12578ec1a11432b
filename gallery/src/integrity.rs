//! What may be installed, as types: there is no way to disk around an [`Installable`].

use countersign_oci::{Class, Digest, PinnedReference};
use countersign_policy::Policy;
use countersign_verifier::VerifiedImage;

use crate::config::{Gallery, GalleryTrust};
use crate::name::GalleryName;

/// Whether an operator's `unverified: warn` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// The config decides for each gallery.
    #[default]
    AsConfigured,
    /// Everything must verify, whatever the config says.
    Strict,
}

/// What has to happen before an image of a gallery becomes [`Installable`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Requirement<'a> {
    /// Nothing: the operator's config says so. Only [`require`] makes one.
    Acknowledge(Acknowledgement<'a>),
    /// It must be verified against this policy.
    Verify(&'a Policy),
}

/// The operator's word that a gallery's images may be installed unverified.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement<'a> {
    gallery: &'a GalleryName,
}

/// An image that the operator lets be installed unverified.
///
/// Every field stands here, so that only their privacy keeps this from compiling:
///
/// ```compile_fail
/// # use countersign_gallery::integrity::Acknowledged;
/// # use countersign_gallery::name::GalleryName;
/// # use countersign_oci::PinnedReference;
/// fn forge(gallery: GalleryName, reference: PinnedReference) -> Acknowledged {
///     Acknowledged { gallery, reference }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Acknowledged {
    gallery: GalleryName,
    reference: PinnedReference,
}

/// The only thing that can be installed.
///
/// Holding one proves that the question of integrity was answered: by a verification, or by the operator's config where
/// strict mode is off. Other kinds of proof will be added.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Installable {
    /// An image with a signature that a policy accepted.
    Image(VerifiedImage),
    /// An image that nobody vouches for.
    Unverified(Acknowledged),
}

/// Why nothing may be installed from a gallery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrityError {
    /// The gallery has no policy, and its config does not say that it needs none.
    #[error("gallery {gallery} has no verification policy, so nothing is installed from it")]
    NoPolicy {
        /// The gallery.
        gallery: GalleryName,
    },
    /// Strict mode overrules `unverified: warn`.
    #[error("gallery {gallery} has no verification policy, and backend integrity is required")]
    StrictWithoutPolicy {
        /// The gallery.
        gallery: GalleryName,
    },
}

/// Decides what an image of a gallery needs, before anything is fetched or written.
pub fn require(gallery: &Gallery, strictness: Strictness) -> Result<Requirement<'_>, IntegrityError> {
    match (&gallery.trust, strictness) {
        (GalleryTrust::Verified(policy), _) => Ok(Requirement::Verify(policy)),
        (_, Strictness::Strict) => Err(IntegrityError::StrictWithoutPolicy { gallery: gallery.name.clone() }),
        (GalleryTrust::Unverified, Strictness::AsConfigured) => {
            Ok(Requirement::Acknowledge(Acknowledgement { gallery: &gallery.name }))
        }
        (GalleryTrust::Unstated, Strictness::AsConfigured) => {
            Err(IntegrityError::NoPolicy { gallery: gallery.name.clone() })
        }
    }
}

impl Acknowledgement<'_> {
    /// Takes the word for one image.
    #[must_use]
    pub fn of(self, reference: PinnedReference) -> Acknowledged {
        Acknowledged { gallery: self.gallery.clone(), reference }
    }
}

impl Acknowledged {
    /// The gallery whose config says so.
    #[must_use]
    pub fn gallery(&self) -> &GalleryName {
        &self.gallery
    }

    /// The image.
    #[must_use]
    pub fn reference(&self) -> &PinnedReference {
        &self.reference
    }
}

impl Installable {
    /// The repository that was asked for, and the digest that may be installed.
    #[must_use]
    pub fn reference(&self) -> &PinnedReference {
        match self {
            Self::Image(image) => image.reference(),
            Self::Unverified(acknowledged) => acknowledged.reference(),
        }
    }

    /// The digest that may be installed.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.reference().digest()
    }
}

impl IntegrityError {
    /// A stable name for the error, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPolicy { .. } => "no-policy",
            Self::StrictWithoutPolicy { .. } => "strict-without-policy",
        }
    }

    /// Who has to act.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Usage
    }

    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoPolicy { gallery } => format!(
                "give gallery {gallery} a `verification:` block, or write `unverified: warn` to install from it unverified"
            ),
            Self::StrictWithoutPolicy { gallery } => {
                format!("give gallery {gallery} a `verification:` block, or leave out --require-backend-integrity")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const SIGNED: &str = "verification: {issuer: 'https://token.actions.githubusercontent.com', identity: 'https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main'}";

    fn decide(trust: &str, strictness: Strictness) -> Result<&'static str, IntegrityError> {
        let config = Config::from_yaml("c", &format!("- {{name: g, url: x{trust}}}")).unwrap();
        require(&config.galleries()[0], strictness).map(|requirement| match requirement {
            Requirement::Verify(_) => "verify",
            Requirement::Acknowledge(_) => "acknowledge",
        })
    }

    #[test]
    fn without_a_policy_only_the_operators_word_lets_anything_in() {
        let gallery: GalleryName = "g".parse().unwrap();
        let signed = format!(", {SIGNED}");
        assert_eq!(decide(&signed, Strictness::AsConfigured), Ok("verify"));
        assert_eq!(decide(", unverified: warn", Strictness::AsConfigured), Ok("acknowledge"));
        let refused = decide("", Strictness::AsConfigured).unwrap_err();
        assert_eq!(refused, IntegrityError::NoPolicy { gallery: gallery.clone() });
        let hint = refused.hint().unwrap();
        assert!(hint.contains("verification:") && hint.contains("unverified: warn"), "{hint}");
    }

    #[test]
    fn strict_mode_overrules_the_operators_word() {
        let gallery: GalleryName = "g".parse().unwrap();
        let signed = format!(", {SIGNED}");
        assert_eq!(decide(&signed, Strictness::Strict), Ok("verify"));
        for trust in ["", ", unverified: warn"] {
            let refused = decide(trust, Strictness::Strict).unwrap_err();
            assert_eq!(refused, IntegrityError::StrictWithoutPolicy { gallery: gallery.clone() });
        }
    }
}
