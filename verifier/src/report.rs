//! A verdict for people and for programs.

mod headline;
mod json;
mod near_miss;
mod text;

pub use headline::{headline, is_unsigned};
pub use json::{
    ChosenPlatform, Denial, Failure, Refusal, Report, SCHEMA, Signature, denials, document, without_verdict,
};
pub use near_miss::{FirstDifference, Nearest, nearest};
pub(crate) use text::line;
pub use text::{text, text_of_denials, text_of_platform, text_with_platforms};

#[cfg(test)]
mod tests {
    use countersign_oci::{Digest, ImageReference};
    use countersign_policy::Policy;

    use super::*;
    use crate::evidence::{Candidate, Content, Evidence, Gap, Place};
    use crate::reason::OlderForm;
    use crate::verify::{Asked, Verdict};
    use crate::{TrustedRoot, Verifier};

    fn verdict(evidence: &Evidence) -> Verdict {
        let policy = "version: 1\nsigners:\n  - issuer: https://issuer.example\n    identity: someone@example.com\n";
        let policy = Policy::from_yaml("test", policy).unwrap();
        let reference: ImageReference = "registry.example/octo/app:v1".parse().unwrap();
        let asked =
            Asked { reference: reference.repository().pin(Digest::of(b"index")), tag: reference.tag().cloned() };
        let verifier = Verifier::new(TrustedRoot::embedded_public_good().unwrap()).unwrap();
        verifier.verify(&asked, evidence, &policy, "2026-11-01T00:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn an_unsigned_image_is_told_with_the_places_that_were_looked_at() {
        let looked_at = vec![Place::new("referrers API", "404"), Place::new("referrers tag schema", "absent")];
        let verdict = verdict(&Evidence { looked_at, ..Evidence::default() });
        insta::assert_snapshot!(text(&verdict), @r"
        rejected  registry.example/octo/app:v1@sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6: unsigned: no signature found
          looked at referrers API: 404
          looked at referrers tag schema: absent
        ");
        assert_eq!(document(&verdict).error.unwrap().code, "unsigned");
    }

    #[test]
    fn each_candidate_is_told_with_its_reason_and_what_to_do() {
        let referrer = Digest::of(b"referrer");
        let candidates = vec![
            Candidate::from_referrer(referrer, Content::OlderCosign(OlderForm::Referrer)),
            Candidate::from_referrer(referrer, Content::Bundle(bytes::Bytes::from_static(b"\x1b[2J"))),
        ];
        let verdict = verdict(&Evidence { candidates, ..Evidence::default() });
        insta::assert_snapshot!(text(&verdict), @r"
        rejected  registry.example/octo/app:v1@sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6: unsigned: none of 2 referrers is a signature (signed in the form that cosign wrote before version 3 (simple-signing referrer))
          not accepted: referrer sha256:8a8decaffbb7c6cfc1c7ccba2fbb8d3ca6e174986920aefb7700dfc9dae5aa35 (older-cosign-format): signed in the form that cosign wrote before version 3 (simple-signing referrer)
            hint: sign the image again with cosign 3 or later, or with countersign-signer
          not accepted: referrer sha256:8a8decaffbb7c6cfc1c7ccba2fbb8d3ca6e174986920aefb7700dfc9dae5aa35 (malformed-bundle): bundle cannot be read: expected value at line 1 column 1
        ");
    }

    #[test]
    fn what_could_not_be_seen_is_undecided_and_says_whether_to_try_again() {
        let gaps = vec![Gap::new("listing: 503", "unexpected-answer", true)];
        let verdict = verdict(&Evidence { gaps, not_examined: 3, ..Evidence::default() });
        let failure = document(&verdict).error.unwrap();
        assert_eq!((failure.code, failure.class, failure.retryable), ("undecided", "unreachable", true));
        insta::assert_snapshot!(text(&verdict), @r"
        undecided registry.example/octo/app:v1@sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6: cannot tell: listing: 503
          not seen: listing: 503
          not examined: 3 referrers
        ");
    }
}
