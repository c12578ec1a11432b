//! What came of one reference, and how the program ends for it.

use countersign_cli::{Exit, Failure};
use countersign_oci::{ImageReference, Repository};
use countersign_verifier::platforms::{Conclusion, PlatformTree, VerifiedPlatform};
use countersign_verifier::report::{self, Report};
use countersign_verifier::{Verdict, report::Failure as Reported};

/// A verdict, with what was asked beside it.
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// The image manifest for `--platform`.
    pub(super) platform: Option<VerifiedPlatform>,
    /// What the image covers, for `--all-platforms`.
    pub(super) tree: Option<PlatformTree>,
}

/// A reference and what came of it.
pub(super) struct Outcome {
    pub(super) reference: ImageReference,
    pub(super) answer: Result<Answer, Failure>,
}

impl Answer {
    fn exit(&self) -> Exit {
        match (&self.verdict, self.tree.as_ref().map(PlatformTree::conclusion)) {
            (Verdict::Verified(..), None | Some(Conclusion::Covered)) => Exit::Done,
            (Verdict::Verified(..), Some(Conclusion::Rejected(_))) | (Verdict::Rejected(_), _) => Exit::Rejected,
            _ => Exit::Undecided,
        }
    }

    /// Says of every place that it is in a repository of signatures, not beside the image.
    pub(super) fn name_repository(&mut self, repository: &Repository) {
        let (Verdict::Verified(_, findings) | Verdict::Rejected(findings) | Verdict::Undecided(findings)) =
            &mut self.verdict
        else {
            return;
        };
        for place in &mut findings.looked_at {
            place.place = format!("{} of {repository}", place.place);
        }
    }

    fn document(&self) -> Report {
        let mut report = report::document(&self.verdict);
        if let Some(platform) = &self.platform {
            report = report.with_platform(platform);
        }
        match &self.tree {
            Some(tree) => report.with_platforms(tree),
            None => report,
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = match &self.tree {
            Some(tree) => report::text_with_platforms(&self.verdict, tree),
            None => report::text(&self.verdict),
        };
        if let Some(platform) = &self.platform {
            text.push_str(&report::text_of_platform(platform));
        }
        text
    }
}

impl Outcome {
    pub(super) fn exit(&self) -> Exit {
        match &self.answer {
            Ok(answer) => answer.exit(),
            Err(failure) => failure.exit,
        }
    }

    /// The document, with `verified`, `rejected` or `undecided`; where nothing was judged, without the failure.
    pub(super) fn report(&self) -> Report {
        match &self.answer {
            Ok(answer) => answer.document(),
            Err(failure) => {
                let verdict = if failure.exit == Exit::Rejected { "rejected" } else { "undecided" };
                report::without_verdict(&self.reference, verdict)
            }
        }
    }

    /// The whole document, as programs read it.
    pub(super) fn value(&self) -> serde_json::Value {
        let mut document = serde_json::to_value(self.report()).unwrap_or_default();
        if let Err(failure) = &self.answer {
            document["error"] = serde_json::to_value(failure).unwrap_or_default();
        }
        document
    }

    /// Why it is not verified: a code and the line that matters. Nothing where it is.
    pub(super) fn problem(&self) -> Option<Problem> {
        match &self.answer {
            Ok(answer) => {
                let Reported { code, message, .. } = answer.document().error?;
                Some(Problem { code, message, details: details(&answer.text()) })
            }
            Err(failure) => Some(Problem {
                code: "not-judged",
                message: failure.message.clone(),
                details: failure.lines().into_iter().skip(1).collect(),
            }),
        }
    }
}

/// Why a reference is not verified.
pub(super) struct Problem {
    pub(super) code: &'static str,
    pub(super) message: String,
    /// The lines that led to it.
    pub(super) details: Vec<String>,
}

/// The lines after the one that matters.
fn details(text: &str) -> Vec<String> {
    text.lines().skip(1).map(ToOwned::to_owned).collect()
}
