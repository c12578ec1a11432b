use std::error::Error;

use countersign_oci::visible;

use crate::report;
use crate::verify::Verdict;

/// What containerd does with the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It pulls.
    Allowed,
    /// It does not: the settings, the arguments or a policy cannot be used.
    Misconfigured,
    /// It does not: the image was judged, or a rule says no.
    Refused,
    /// It does not: it cannot be told. The same question may be answered later.
    Undecided,
}

/// The end of the program, and the lines that containerd puts into its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it means for the image.
    pub outcome: Outcome,
    /// The line that matters first; never longer than a screen.
    pub text: String,
}

impl Answer {
    /// Returns an answer of these lines.
    #[must_use]
    pub fn new(outcome: Outcome, lines: &str) -> Self {
        Self::of(outcome, std::iter::once(lines.to_owned()))
    }

    /// Returns the answer that a failure is: its causes in the same line, what to do about it in the next.
    #[must_use]
    pub fn of_error(outcome: Outcome, error: &dyn Error, hint: Option<&str>) -> Self {
        let mut line = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            line.push_str(": ");
            line.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::of(outcome, std::iter::once(line).chain(hint.map(|hint| format!("hint: {hint}"))))
    }

    /// Returns the answer that a verdict is. `terms` names the rule and policy that were applied.
    #[must_use]
    pub fn of_verdict(verdict: &Verdict, terms: &str) -> Self {
        let outcome = match verdict {
            Verdict::Verified(image, _) => {
                return Self::new(Outcome::Allowed, &format!("signed by {} ({terms})", image.signers().join(", ")));
            }
            Verdict::Rejected(_) => Outcome::Refused,
            Verdict::Undecided(_) => Outcome::Undecided,
        };
        let first = format!("{} ({terms})", report::headline(verdict.findings()));
        // The report's own first line says the same, and containerd's message has the name.
        let report = report::text(verdict);
        let details = report.lines().skip(1).map(ToOwned::to_owned);
        Self::of(outcome, std::iter::once(first).chain(details))
    }

    fn of(outcome: Outcome, lines: impl Iterator<Item = String>) -> Self {
        let begins = match outcome {
            Outcome::Allowed => "allowed",
            Outcome::Misconfigured => "refused, the hook is not set up",
            Outcome::Refused => "refused",
            Outcome::Undecided => "refused, could not decide",
        };
        let mut text = format!("countersign: {begins}: ");
        let mut lines = lines.flat_map(|line| line.lines().map(clean).collect::<Vec<_>>());
        text.push_str(&lines.next().unwrap_or_default());
        text.push('\n');
        for (number, line) in lines.enumerate() {
            if number == LINES || text.len() + line.len() > BYTES {
                text.push_str("  ...\n");
                break;
            }
            text.push_str(&line);
            text.push('\n');
        }
        Self { outcome, text }
    }
}

/// A line in which nothing moves the cursor, of a length that a person reads.
fn clean(line: &str) -> String {
    let mut clean: String = line.chars().take(LINE_CHARACTERS).map(visible).collect();
    if line.chars().nth(LINE_CHARACTERS).is_some() {
        clean.push_str("...");
    }
    clean
}

/// Lines after the first.
const LINES: usize = 20;
/// Characters of one line: a reference with its digest, and some words.
const LINE_CHARACTERS: usize = 400;
/// Bytes of an answer. Events of a cluster have about a thousand, and keep the first.
const BYTES: usize = 3_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_never_longer_than_a_screen_and_says_first_what_matters() {
        let lines = (0..500).map(|number| format!("line {number} \u{1b}[2J {}", "x".repeat(1_000)));
        let answer = Answer::of(Outcome::Refused, lines);
        assert!(answer.text.starts_with("countersign: refused: line 0 "), "{}", answer.text);
        assert!(answer.text.len() <= BYTES + 10 && answer.text.lines().count() <= LINES + 2);
        assert!(answer.text.ends_with("  ...\n") && !answer.text.contains('\u{1b}'));
    }

    #[test]
    fn each_outcome_is_told_from_the_others() {
        let first = |outcome| Answer::new(outcome, "why").text;
        assert_eq!(first(Outcome::Allowed), "countersign: allowed: why\n");
        assert_eq!(first(Outcome::Refused), "countersign: refused: why\n");
        assert_eq!(first(Outcome::Undecided), "countersign: refused, could not decide: why\n");
        assert_eq!(first(Outcome::Misconfigured), "countersign: refused, the hook is not set up: why\n");
    }

    #[test]
    fn an_error_is_told_with_its_causes_and_what_to_do() {
        let error = crate::Error::TrustFile { path: "/x".into(), cause: std::io::Error::other("a\nb") };
        let answer = Answer::of_error(Outcome::Undecided, &error, Some("look"));
        assert_eq!(
            answer.text,
            "countersign: refused, could not decide: cannot read the trusted root /x: a\nb\nhint: look\n"
        );
    }
}
