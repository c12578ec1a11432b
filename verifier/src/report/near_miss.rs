//! How near a denied signature came: to which signer of the policy, and where its names first part from what was expected.

use std::cmp::Reverse;

use countersign_policy::difference::{DifferenceKind, first_difference};
use countersign_policy::{Denial, Field};
use serde::Serialize;

/// The signer of the policy that a signature came nearest to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Nearest {
    /// Its name; none where the policy as a whole says no.
    pub signer: Option<String>,
    /// How many fields did not fit.
    pub differing: usize,
}

/// Where what was found first differs from the one text that was expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FirstDifference {
    /// The index of the character, counted from 0. Where one text ends first, its length.
    pub position: usize,
    /// `blank`, `case`, `end`, `extension`, `other` or `trailing-slash`.
    pub kind: &'static str,
    /// What kind of difference it is, in words.
    pub explanation: String,
}

/// Returns the signer with the fewest fields that did not fit; of several, the one whose names go along the farthest.
#[must_use]
pub fn nearest(denials: &[Denial]) -> Option<Nearest> {
    // What the policy as a whole refuses keeps every signer away, so it is no signer's nearness.
    let named = || denials.iter().filter_map(|denial| denial.signer.as_deref());
    let count = |signer: Option<&str>| denials.iter().filter(|denial| denial.signer.as_deref() == signer).count();
    let common = |signer: &str| -> usize {
        let of = denials.iter().filter(|denial| denial.signer.as_deref() == Some(signer));
        of.filter_map(Denial::first_difference).sum()
    };
    // The first of equals stays: the policy's order.
    let nearest = named().min_by_key(|signer| (count(Some(signer)), Reverse(common(signer))));
    if denials.is_empty() {
        return None;
    }
    Some(Nearest { signer: nearest.map(ToOwned::to_owned), differing: count(nearest) })
}

/// Returns where found and expected part, where one text only was expected and another was found.
pub(super) fn difference(denial: &Denial) -> Option<FirstDifference> {
    denial.first_difference()?;
    let found = denial.found.as_deref()?;
    let first = first_difference(&denial.expected, found)?;
    let kind = match first.kind {
        DifferenceKind::Blank => "blank",
        DifferenceKind::Case => "case",
        DifferenceKind::End => "end",
        DifferenceKind::Extension => "extension",
        DifferenceKind::TrailingSlash => "trailing-slash",
        _ => "other",
    };
    let explanation = explanation(&denial.field, &denial.expected, found, first.kind, first.position);
    Some(FirstDifference { position: first.position, kind, explanation })
}

/// Returns expected and found in lines one above the other, and a line that marks the first difference.
///
/// Every character that is not printable ASCII is written as its number: then each takes one column for each character
/// of its number on every terminal, the mark stands where it must, and letters that only look alike look different.
pub(super) fn lines(denial: &Denial, difference: &FirstDifference) -> [String; 3] {
    let found = denial.found.as_deref().unwrap_or_default();
    let before: String = found.chars().take(difference.position).collect();
    let mark = " ".repeat(plain(&before).len());
    [
        format!("expected {}", plain(&denial.expected)),
        format!("found    {}", plain(found)),
        format!("         {mark}^ {}", difference.explanation),
    ]
}

/// What to do about one denial, where that is known.
pub(super) fn hint(denial: &Denial) -> Option<&'static str> {
    denial.matches_a_part_only().then_some(
        "a part of it matches, which is enough for cosign; here a pattern must match the whole: end it with .* where more may follow",
    )
}

fn explanation(field: &Field, expected: &str, found: &str, kind: DifferenceKind, position: usize) -> String {
    let text = match kind {
        DifferenceKind::Blank => "only blanks, or characters that nobody sees, differ",
        DifferenceKind::Case => "only upper and lower case differ",
        DifferenceKind::Extension => "only the file extension differs: .yml is not .yaml",
        DifferenceKind::TrailingSlash => "only the slash at the end differs",
        _ if *field == Field::Issuer && is_below(found, expected) => {
            "this is the issuer of one tenant, where that of the whole service is expected"
        }
        _ if *field == Field::Issuer && is_below(expected, found) => {
            "this is the issuer of the whole service, where that of one tenant is expected"
        }
        _ => match (workflow(expected), workflow(found)) {
            (Some(expected), Some(found)) => compare(&expected, &found),
            _ => return otherwise(expected, found, kind, position),
        },
    };
    text.to_owned()
}

fn otherwise(expected: &str, found: &str, kind: DifferenceKind, position: usize) -> String {
    let at = |text: &str| text.chars().nth(position);
    match (at(expected), at(found)) {
        (Some(wanted), Some(is)) if !(wanted.is_ascii() && is.is_ascii()) => {
            format!("U+{:04X} stands where U+{:04X} is expected: they may look alike", u32::from(is), u32::from(wanted))
        }
        (None, Some(_)) if kind == DifferenceKind::End => "it goes on after what is expected".to_owned(),
        (Some(_), None) if kind == DifferenceKind::End => "it ends before what is expected does".to_owned(),
        _ => "first difference".to_owned(),
    }
}

/// Whether one address is that of something below another.
fn is_below(found: &str, base: &str) -> bool {
    found.strip_prefix(base.trim_end_matches('/')).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}

/// The parts of a name that says which workflow signed.
struct Workflow<'a> {
    repository: &'a str,
    file: &'a str,
    reference: &'a str,
}

/// GitHub's names, and GitLab's.
fn workflow(name: &str) -> Option<Workflow<'_>> {
    let (rest, reference) = name.split_once('@')?;
    let scheme = rest.find("://")? + 3;
    let (repository, file) = match rest.find("/.github/workflows/") {
        Some(at) => (&rest[..at], &rest[at..]),
        None => {
            let at = scheme + rest[scheme..].find("//")?;
            (&rest[..at], &rest[at..])
        }
    };
    Some(Workflow { repository, file, reference })
}

fn compare(expected: &Workflow<'_>, found: &Workflow<'_>) -> &'static str {
    let same =
        (expected.repository == found.repository, expected.file == found.file, expected.reference == found.reference);
    match same {
        (true, false, true) => "another workflow file of the same repository",
        (true, true, false) => "the same workflow, at another git reference",
        (true, false, false) => "another workflow file of the same repository, at another git reference",
        (false, true, _) => "a workflow file of the same name in another repository",
        _ => "a workflow of another repository",
    }
}

fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' '..='~' => plain.push(character),
            character => plain.extend(character.escape_unicode()),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use countersign_policy::{Asked, Assessment, Claims, Policy, SignatureFacts, SubjectFacts};

    use super::*;

    const ISSUER: &str = "https://token.actions.githubusercontent.com";
    const NAME: &str = "https://github.com/octo/app/.github/workflows/release.yaml@refs/heads/main";

    fn denials(policy: &str, issuer: &str, name: &str) -> Vec<Denial> {
        let policy = Policy::from_yaml("test", policy).unwrap();
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        let facts = SignatureFacts {
            issuer: Some(issuer.to_owned()),
            subject_alternative_name: Some(name.to_owned()),
            subject_alternative_name_is_uri: true,
            claims: Claims { source_repository_uri: Some("https://github.com/octo/app".into()), ..Claims::default() },
            times: vec![now],
            log: String::new(),
            log_entry: String::new(),
            digest: String::new(),
            subjects: vec![SubjectFacts::default()],
        };
        match policy.assess(&facts, &Asked { repository: "r.example/app".into(), tag: None }, now) {
            Assessment::Denied(denials) => denials,
            Assessment::Accepted(_) => Vec::new(),
        }
    }

    fn signer(name: &str, issuer: &str, identity: &str) -> String {
        format!("  - name: {name}\n    issuer: {issuer}\n    identity: {identity}\n")
    }

    fn shown(issuer: &str, name: &str) -> String {
        let policy = format!("version: 1\nsigners:\n{}", signer("release", ISSUER, NAME));
        let denials = denials(&policy, issuer, name);
        let names = denials.iter().filter(|denial| matches!(denial.field, Field::Identity | Field::Issuer));
        names.filter_map(|denial| Some(lines(denial, &difference(denial)?).join("\n"))).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_slip_is_marked_where_it_is_and_told_for_what_it_is() {
        let slips: Vec<String> = [
            (ISSUER, NAME.replace("yaml", "yml")),
            (ISSUER, NAME.replace("release", "nightly")),
            (ISSUER, NAME.replace("main", "next")),
            (ISSUER, NAME.replace("octo", "Octo")),
            (ISSUER, NAME.replace("octo", "evil")),
            (ISSUER, format!("{NAME}-evil")),
            ("https://token.actions.githubusercontent.com/", NAME.to_owned()),
            ("https://token.actions.githubusercontent.com/octo-inc", NAME.to_owned()),
            ("https://gitlab.com", NAME.to_owned()),
        ]
        .iter()
        .map(|(issuer, name)| shown(issuer, name))
        .collect();
        insta::assert_snapshot!(slips.join("\n"), @"
        expected https://github.com/octo/app/.github/workflows/release.yaml@refs/heads/main
        found    https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main
                                                                        ^ only the file extension differs: .yml is not .yaml
        expected https://github.com/octo/app/.github/workflows/release.yaml@refs/heads/main
        found    https://github.com/octo/app/.github/workflows/nightly.yaml@refs/heads/main
                                                               ^ another workflow file of the same repository
        expected https://github.com/octo/app/.github/workflows/release.yaml@refs/heads/main
        found    https://github.com/octo/app/.github/workflows/release.yaml@refs/heads/next
                                                                                       ^ the same workflow, at another git reference
        expected https://github.com/octo/app/.github/workflows/release.yaml@refs/heads/main
        found    https://github.com/Octo/app/.github/workflows/release.yaml@refs/heads/main
                                    ^ only upper and lower case differ
        expected https://github.com/octo/app/.github/workflows/release.yaml@refs/heads/main
        found    https://github.com/evil/app/.github/workflows/release.yaml@refs/heads/main
                                    ^ a workflow file of the same name in another repository
        expected https://github.com/octo/app/.github/workflows/release.yaml@refs/heads/main
        found    https://github.com/octo/app/.github/workflows/release.yaml@refs/heads/main-evil
                                                                                           ^ the same workflow, at another git reference
        expected https://token.actions.githubusercontent.com
        found    https://token.actions.githubusercontent.com/
                                                            ^ only the slash at the end differs
        expected https://token.actions.githubusercontent.com
        found    https://token.actions.githubusercontent.com/octo-inc
                                                            ^ this is the issuer of one tenant, where that of the whole service is expected
        expected https://token.actions.githubusercontent.com
        found    https://gitlab.com
                         ^ first difference
        ");
    }

    #[test]
    fn no_character_moves_the_mark() {
        for (name, column) in [
            (NAME.replace("main", "m\u{430}in"), NAME.find("ain").unwrap()),
            (NAME.replace("octo", "o\u{301}cto"), NAME.find("cto/app").unwrap()),
            (NAME.replace("octo", "\u{5408}octo"), NAME.find("octo").unwrap()),
            (NAME.replace("octo", "\u{1b}[2Jocto"), NAME.find("octo").unwrap()),
            (NAME.replace("octo", "\u{200b}octo"), NAME.find("octo").unwrap()),
            (format!("{NAME} "), NAME.len()),
            (format!("{NAME}\t"), NAME.len()),
        ] {
            let text = shown(ISSUER, &name);
            let [expected, found, mark] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
            let at = mark.find('^').unwrap();
            assert_eq!(at - "expected ".len(), column, "{text}");
            assert!(text.is_ascii() && expected[..at] == found[..at].replace("found   ", "expected"), "{text}");
        }
        let after = |expected: &str, found: &str| first_difference(expected, found).unwrap().position;
        assert_eq!(after("\u{5408}\u{5408}a", "\u{5408}\u{5408}b"), 2);
    }

    #[test]
    fn the_nearest_signer_is_the_one_with_the_fewest_differences_then_the_longest_common_name() {
        let policy = |signers: &[String]| format!("version: 1\nsigners:\n{}", signers.concat());
        let other = NAME.replace("octo", "evil");
        let two = policy(&[
            signer("far", "https://gitlab.com", &other),
            signer("near", ISSUER, &NAME.replace("yaml", "yml")),
        ]);
        let found = nearest(&denials(&two, ISSUER, NAME)).unwrap();
        assert_eq!((found.signer.as_deref(), found.differing), (Some("near"), 1));
        let equal = policy(&[
            signer("far", ISSUER, &other),
            signer("near", ISSUER, &NAME.replace("main", "next")),
            signer("also near", ISSUER, &NAME.replace("main", "next")),
        ]);
        assert_eq!(nearest(&denials(&equal, ISSUER, NAME)).unwrap().signer.as_deref(), Some("near"));
        let too_late = format!("{}not_after: 2026-01-01T00:00:00Z\n", policy(&[signer("release", ISSUER, NAME)]));
        let found = nearest(&denials(&too_late, ISSUER, NAME)).unwrap();
        assert_eq!((found.signer, found.differing), (None, 1));
        assert_eq!(nearest(&[]), None);
    }

    #[test]
    fn a_pattern_that_cosign_would_find_inside_is_told_apart_from_one_that_nobody_would() {
        let policy = |pattern: &str| {
            format!("version: 1\nsigners:\n  - name: release\n    issuer: {ISSUER}\n    identity_regex: {pattern}\n")
        };
        let within = r"https://github\.com/octo/app/\.github/workflows/release\.yaml";
        let denied = denials(&policy(within), ISSUER, NAME);
        assert!(hint(&denied[0]).is_some() && difference(&denied[0]).is_none(), "{denied:?}");
        let elsewhere = r"https://github\.com/octo/other/\.github/workflows/release\.yaml";
        assert!(hint(&denials(&policy(elsewhere), ISSUER, NAME)[0]).is_none());
    }
}
