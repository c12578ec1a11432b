//! Texts that a pattern admits, made from the pattern: what it is said to admit can then be shown.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::matcher::{Matcher, Pattern};

/// Returns texts that the matcher admits, in a stable order, without repetitions. Of a pattern, each of its alternatives is tried, with the open
/// parts filled by each of `fills` in turn. Every text was put to the matcher; where none is found the pattern may still admit some.
pub(crate) fn samples(matcher: &Matcher, fills: &[&str]) -> Vec<String> {
    match matcher {
        Matcher::Exact(values) => values.clone(),
        Matcher::Pattern(pattern) => {
            of_pattern(pattern, fills).into_iter().filter(|text| matcher.matches(text)).collect()
        }
    }
}

fn of_pattern(pattern: &Pattern, fills: &[&str]) -> Vec<String> {
    let Ok(tree) = regex_syntax::parse(pattern.text()) else { return Vec::new() };
    let mut all: Vec<String> = Vec::new();
    for fill in fills {
        for text in extend(vec![String::new()], &tree, fill) {
            if !all.contains(&text) {
                all.push(text);
            }
        }
    }
    all
}

fn extend(texts: Vec<String>, tree: &Hir, fill: &str) -> Vec<String> {
    let append = |texts: Vec<String>, end: &str| -> Vec<String> {
        texts.into_iter().filter(|text| text.len() + end.len() <= MAX_BYTES).map(|text| text + end).collect()
    };
    match tree.kind() {
        HirKind::Empty | HirKind::Look(_) => texts,
        HirKind::Literal(literal) => append(texts, &String::from_utf8_lossy(&literal.0)),
        HirKind::Class(class) => append(texts, &representative(class).map(String::from).unwrap_or_default()),
        HirKind::Capture(capture) => extend(texts, &capture.sub, fill),
        HirKind::Concat(parts) => parts.iter().fold(texts, |texts, part| extend(texts, part, fill)),
        HirKind::Alternation(branches) => {
            let each = branches.iter().flat_map(|branch| extend(texts.clone(), branch, fill));
            each.take(MAX_TEXTS).collect()
        }
        HirKind::Repetition(repetition) => {
            let fits = |class: &Class| is_wide(class) && fill.chars().all(|letter| contains(class, letter));
            if let HirKind::Class(class) = repetition.sub.kind()
                && fits(class)
            {
                let length = u32::try_from(fill.chars().count()).unwrap_or(u32::MAX);
                if length >= repetition.min && repetition.max.is_none_or(|max| length <= max) {
                    return append(texts, fill);
                }
            }
            let times = repetition.min.clamp(1, MAX_TIMES);
            let once = (0..times).fold(texts.clone(), |texts, _| extend(texts, &repetition.sub, fill));
            match repetition.min {
                0 => texts.into_iter().chain(once).take(MAX_TEXTS).collect(),
                _ => once,
            }
        }
    }
}

/// Tells classes that admit most of what names are made of.
fn is_wide(class: &Class) -> bool {
    ('a'..='z').all(|letter| contains(class, letter))
}

fn contains(class: &Class, letter: char) -> bool {
    match class {
        Class::Unicode(class) => class.iter().any(|range| (range.start()..=range.end()).contains(&letter)),
        Class::Bytes(class) => u8::try_from(letter)
            .is_ok_and(|letter| class.iter().any(|range| (range.start()..=range.end()).contains(&letter))),
    }
}

/// A character of the class that reads well in an example; a dot where all are admitted, since that is what is mostly meant.
fn representative(class: &Class) -> Option<char> {
    let preferred = ['.', '1', 'x', '-', 'X', '/'];
    let first = || match class {
        Class::Unicode(class) => class.iter().next().map(|range| range.start()),
        Class::Bytes(class) => class.iter().next().map(|range| char::from(range.start())),
    };
    preferred.into_iter().find(|letter| contains(class, *letter)).or_else(first)
}

/// Texts of one pattern and fill.
const MAX_TEXTS: usize = 32;
/// Bytes of one text.
const MAX_BYTES: usize = 1024;
/// How often a counted part is written out.
const MAX_TIMES: u32 = 64;
