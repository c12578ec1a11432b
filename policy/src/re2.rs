//! Patterns between Go's regular expressions and ours: the same text does not always mean the same.
//!
//! Both engines are linear and have much the same syntax. They part where Go's classes `\d`, `\w`, `\s` and the boundary `\b` are ASCII and ours
//! are Unicode, where ours knows operations on sets of characters and flags that Go does not, and where one of them takes a form for literal text
//! that the other takes for a construct. What is not surely the same in both, or can be written so, is refused.

use regex_syntax::ast::{self, Ast, parse::ParserBuilder};

use crate::matcher::Pattern;

/// Says why a pattern does not mean the same in both engines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} not mean the same in Go's regular expressions and in ours")]
pub struct NotPortable {
    what: &'static str,
}

/// A pattern of Go's engine, rewritten so that ours reads the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// The pattern, without the anchors around it where it has both.
    pub(crate) text: String,
    /// Whether it is bound to the beginning of the value.
    pub(crate) begins: bool,
    /// Whether it is bound to the end of the value.
    pub(crate) ends: bool,
}

/// Rewrites a pattern that Go's engine searches for. One that does not parse comes back as it is: compiling it will say why.
pub(crate) fn from_go(pattern: &str) -> Result<Foreign, NotPortable> {
    let Some(tree) = parse(pattern) else {
        return Ok(Foreign { text: pattern.to_owned(), begins: false, ends: false });
    };
    let mut rewrite = Rewrite::new(Direction::FromGo);
    rewrite.walk(&tree)?;
    let text = rewrite.apply(pattern);
    let Some(tree) = parse(&text) else { return Err(NotPortable { what: "these constructs do" }) };
    let (begins, ends) = anchors(&tree);
    Ok(match begins && ends {
        true => Foreign { text: within_anchors(&text, &tree).unwrap_or(text), begins, ends },
        false => Foreign { text, begins, ends },
    })
}

/// A pattern of ours for Go's engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForGo {
    /// The pattern, bound to both ends.
    pub(crate) text: String,
    /// Whether a class in it means fewer characters there.
    pub(crate) narrower: bool,
}

/// Writes a pattern of a policy for Go's engine. A dot in its literal beginning stands for a dot only, as it does in the policy.
pub(crate) fn for_go(pattern: &Pattern) -> Result<ForGo, NotPortable> {
    let text = pattern.text();
    let Some(tree) = parse(text) else { return Err(NotPortable { what: "it may" }) };
    let mut rewrite = Rewrite::new(Direction::ForGo);
    rewrite.walk(&tree)?;
    if !pattern.heads().is_empty() {
        rewrite.head(&tree, vec![String::new()], pattern.heads())?;
    }
    Ok(ForGo { text: format!("^(?:{})$", rewrite.apply(text)), narrower: rewrite.narrower })
}

/// Returns the one text that a pattern can mean, a lone dot taken for a dot, and whether it had such dots.
pub(crate) fn only_text(pattern: &str) -> Option<(String, bool)> {
    let mut text = String::new();
    let mut dots = false;
    literal(&parse(pattern)?, &mut text, &mut dots).then_some((text, dots))
}

/// Returns the literal text with which every value begins that a pattern matches. Only the dots of what a policy fixes count as dots.
pub(crate) fn literal_head(pattern: &Pattern) -> Option<String> {
    let tree = parse(pattern.text())?;
    let Ast::Concat(concat) = &tree else { return only_text(pattern.text()).map(|(text, _)| text) };
    let mut text = String::new();
    for tree in &concat.asts {
        let mut dots = false;
        let mut next = text.clone();
        let fixed = pattern.heads().iter().any(|head| head.starts_with(next.as_str()) && head.len() > next.len());
        if matches!(tree, Ast::Assertion(_)) {
            continue;
        }
        if !literal(tree, &mut next, &mut dots) || (dots && !fixed) {
            break;
        }
        text = next;
    }
    Some(text)
}

fn literal(tree: &Ast, text: &mut String, dots: &mut bool) -> bool {
    match tree {
        Ast::Empty(_) => true,
        Ast::Literal(literal) => {
            text.push(literal.c);
            true
        }
        Ast::Dot(_) => {
            text.push('.');
            *dots = true;
            true
        }
        Ast::ClassBracketed(class) => match only_member(class) {
            Some(letter) => {
                text.push(letter);
                true
            }
            None => false,
        },
        Ast::Group(group) => literal(&group.ast, text, dots),
        Ast::Concat(concat) => concat.asts.iter().all(|tree| literal(tree, text, dots)),
        _ => false,
    }
}

/// Returns the regular expression of a pattern with the wildcards `*` and `?`; none where it has neither.
pub(crate) fn from_wildcards(pattern: &str) -> Option<String> {
    if !pattern.contains(['*', '?']) {
        return None;
    }
    let mut expression = String::new();
    for letter in pattern.chars() {
        match letter {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            letter => expression.push_str(&regex_syntax::escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    Some(expression)
}

fn parse(pattern: &str) -> Option<Ast> {
    ParserBuilder::new().nest_limit(NEST_LIMIT).build().parse(pattern).ok()
}

/// Says whether a pattern is bound to the beginning and to the end.
fn anchors(tree: &Ast) -> (bool, bool) {
    match tree {
        Ast::Assertion(assertion) => (is_begin(assertion), is_end(assertion)),
        Ast::Group(group) => anchors(&group.ast),
        Ast::Concat(concat) => {
            let first = concat.asts.first().is_some_and(|tree| anchors(tree).0);
            let last = concat.asts.last().is_some_and(|tree| anchors(tree).1);
            (first, last)
        }
        Ast::Alternation(alternation) => {
            let each = |tree: &Ast| anchors(tree);
            let begins = alternation.asts.iter().all(|tree| each(tree).0);
            (begins, alternation.asts.iter().all(|tree| each(tree).1))
        }
        _ => (false, false),
    }
}

fn is_begin(assertion: &ast::Assertion) -> bool {
    matches!(assertion.kind, ast::AssertionKind::StartLine | ast::AssertionKind::StartText)
}

fn is_end(assertion: &ast::Assertion) -> bool {
    matches!(assertion.kind, ast::AssertionKind::EndLine | ast::AssertionKind::EndText)
}

/// Returns what stands between the anchors around a pattern, without the group around that.
fn within_anchors(text: &str, tree: &Ast) -> Option<String> {
    let Ast::Concat(concat) = tree else { return None };
    let [Ast::Assertion(first), inner @ .., Ast::Assertion(last)] = concat.asts.as_slice() else { return None };
    if !is_begin(first) || !is_end(last) {
        return None;
    }
    let mut range = first.span.end.offset..last.span.start.offset;
    if let [Ast::Group(group)] = inner
        && matches!(&group.kind, ast::GroupKind::NonCapturing(flags) if flags.items.is_empty())
    {
        let span = group.ast.span();
        range = span.start.offset..span.end.offset;
    }
    text.get(range).map(str::to_owned)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ForGo,
    FromGo,
}

/// Texts to put in place of parts of a pattern.
struct Rewrite {
    direction: Direction,
    edits: Vec<(ast::Span, &'static str)>,
    narrower: bool,
}

impl Rewrite {
    fn new(direction: Direction) -> Self {
        Self { direction, edits: Vec::new(), narrower: false }
    }

    fn apply(&mut self, pattern: &str) -> String {
        self.edits.sort_by_key(|(span, _)| span.start.offset);
        let mut text = String::new();
        let mut at = 0;
        for (span, edit) in &self.edits {
            text.push_str(&pattern[at..span.start.offset]);
            text.push_str(edit);
            at = span.end.offset;
        }
        text.push_str(&pattern[at..]);
        text
    }

    fn walk(&mut self, tree: &Ast) -> Result<(), NotPortable> {
        match tree {
            Ast::Empty(_) | Ast::Dot(_) => Ok(()),
            Ast::Flags(set) => flags(&set.flags),
            Ast::Literal(letter) => literal_form(letter),
            Ast::Assertion(assertion) => self.assertion(assertion),
            Ast::ClassUnicode(_) => Err(NotPortable { what: "classes such as \\p{..} may" }),
            Ast::ClassPerl(class) => self.perl(class, false),
            Ast::ClassBracketed(class) => match &class.kind {
                ast::ClassSet::Item(item) => self.item(item, class.negated),
                ast::ClassSet::BinaryOp(_) => Err(NotPortable { what: "operations within [..] do" }),
            },
            Ast::Repetition(repetition) => {
                self.repetition(repetition)?;
                self.walk(&repetition.ast)
            }
            Ast::Group(group) => {
                match &group.kind {
                    ast::GroupKind::NonCapturing(set) => flags(set)?,
                    ast::GroupKind::CaptureName { name, .. } if !is_word(&name.name) => {
                        return Err(NotPortable { what: "the names of groups do" });
                    }
                    ast::GroupKind::CaptureName { .. } | ast::GroupKind::CaptureIndex(_) => {}
                }
                self.walk(&group.ast)
            }
            Ast::Alternation(alternation) => alternation.asts.iter().try_for_each(|tree| self.walk(tree)),
            Ast::Concat(concat) => concat.asts.iter().try_for_each(|tree| self.walk(tree)),
        }
    }

    fn assertion(&mut self, assertion: &ast::Assertion) -> Result<(), NotPortable> {
        use ast::AssertionKind::{EndLine, EndText, StartLine, StartText, WordBoundary};
        match assertion.kind {
            EndLine | EndText | StartLine | StartText => Ok(()),
            WordBoundary if self.direction == Direction::FromGo => {
                self.edits.push((assertion.span, r"(?-u:\b)"));
                Ok(())
            }
            _ => Err(NotPortable { what: "boundaries of words do" }),
        }
    }

    fn perl(&mut self, class: &ast::ClassPerl, bracketed: bool) -> Result<(), NotPortable> {
        use ast::ClassPerlKind::{Digit, Space, Word};
        let edit = match (&class.kind, class.negated, bracketed) {
            (Digit, false, false) => "[0-9]",
            (Space, false, false) => r"[\t\n\f\r ]",
            (Word, false, false) => "[0-9A-Za-z_]",
            (Digit, true, false) => "[^0-9]",
            (Space, true, false) => r"[^\t\n\f\r ]",
            (Word, true, false) => "[^0-9A-Za-z_]",
            (Digit, false, true) => "0-9",
            (Space, false, true) => r"\t\n\f\r ",
            (Word, false, true) => "0-9A-Za-z_",
            (_, true, true) => return Err(NotPortable { what: "classes such as [\\D] do" }),
        };
        match (self.direction, class.negated) {
            (Direction::FromGo, _) => self.edits.push((class.span, edit)),
            (Direction::ForGo, false) => self.narrower = true,
            (Direction::ForGo, true) => return Err(NotPortable { what: "classes such as \\D do" }),
        }
        Ok(())
    }

    fn item(&mut self, item: &ast::ClassSetItem, negated: bool) -> Result<(), NotPortable> {
        use ast::ClassSetItem::{Ascii, Bracketed, Empty, Literal, Perl, Range, Unicode, Union};
        match item {
            Empty(_) | Ascii(_) => Ok(()),
            Literal(letter) => literal_form(letter),
            Range(range) => {
                literal_form(&range.start)?;
                literal_form(&range.end)
            }
            Perl(_) if negated && self.direction == Direction::ForGo => {
                Err(NotPortable { what: "classes such as [^\\d] do" })
            }
            Perl(class) => self.perl(class, true),
            Unicode(_) => Err(NotPortable { what: "classes such as \\p{..} may" }),
            Bracketed(_) => Err(NotPortable { what: "classes within classes do" }),
            Union(union) => union.items.iter().try_for_each(|item| self.item(item, negated)),
        }
    }

    fn repetition(&self, repetition: &ast::Repetition) -> Result<(), NotPortable> {
        if matches!(&*repetition.ast, Ast::Repetition(_) | Ast::Assertion(_) | Ast::Empty(_) | Ast::Flags(_)) {
            return Err(NotPortable { what: "repetitions of repetitions and of anchors do" });
        }
        let ast::RepetitionKind::Range(range) = &repetition.op.kind else { return Ok(()) };
        let (low, high) = match *range {
            ast::RepetitionRange::Exactly(count) | ast::RepetitionRange::AtLeast(count) => (count, count),
            ast::RepetitionRange::Bounded(low, high) => (low, high),
        };
        if low.max(high) > MAX_REPETITIONS {
            return Err(NotPortable { what: "repetitions of more than 1000 do" });
        }
        // `{,3}` is literal text in Go, and so is `{ 3 }`: the operator must be as long as its plain form.
        let plain = match *range {
            ast::RepetitionRange::Exactly(count) => format!("{{{count}}}"),
            ast::RepetitionRange::AtLeast(count) => format!("{{{count},}}"),
            ast::RepetitionRange::Bounded(low, high) => format!("{{{low},{high}}}"),
        };
        let span = &repetition.op.span;
        match span.end.offset - span.start.offset == plain.len() + usize::from(!repetition.greedy) {
            true => Ok(()),
            false => Err(NotPortable { what: "counts such as {,3} do" }),
        }
    }

    /// Escapes the dots of the literal beginning. `states` are the texts that can have come before; returned are those that can come after.
    fn head(&mut self, tree: &Ast, states: Vec<String>, heads: &[String]) -> Result<Vec<String>, NotPortable> {
        let complete = |state: &String| heads.iter().any(|head| state.starts_with(head.as_str()));
        let (done, mut open): (Vec<String>, Vec<String>) = states.into_iter().partition(complete);
        if open.is_empty() {
            return Ok(done);
        }
        let letter = match tree {
            Ast::Empty(_) | Ast::Assertion(_) | Ast::Flags(_) => None,
            Ast::Literal(literal) => Some(literal.c),
            Ast::ClassBracketed(class) => Some(only_member(class).ok_or(UNCLEAR_HEAD)?),
            Ast::Dot(span) if done.is_empty() => {
                self.edits.push((**span, r"\."));
                Some('.')
            }
            Ast::Group(group) => {
                open = self.head(&group.ast, open, heads)?;
                None
            }
            Ast::Concat(concat) => {
                for tree in &concat.asts {
                    open = self.head(tree, open, heads)?;
                }
                None
            }
            Ast::Alternation(alternation) => {
                let mut all = Vec::new();
                for tree in &alternation.asts {
                    all.extend(self.head(tree, open.clone(), heads)?);
                }
                open = all;
                None
            }
            _ => return Err(UNCLEAR_HEAD),
        };
        if let Some(letter) = letter {
            open.iter_mut().for_each(|state| state.push(letter));
        }
        open.extend(done);
        open.sort();
        open.dedup();
        match open.len() > MAX_STATES {
            true => Err(UNCLEAR_HEAD),
            false => Ok(open),
        }
    }
}

/// Returns the character of a class that has one.
fn only_member(class: &ast::ClassBracketed) -> Option<char> {
    match &class.kind {
        ast::ClassSet::Item(ast::ClassSetItem::Literal(literal)) if !class.negated => Some(literal.c),
        _ => None,
    }
}

/// Go has `i`, `m`, `s` and `U`, but a policy's patterns match one line: only `i` says something there that can be kept.
fn flags(flags: &ast::Flags) -> Result<(), NotPortable> {
    let known = |item: &ast::FlagsItem| item.kind == ast::FlagsItemKind::Flag(ast::Flag::CaseInsensitive);
    match flags.items.iter().all(known) {
        true => Ok(()),
        false => Err(NotPortable { what: "flags other than (?i) may" }),
    }
}

fn literal_form(literal: &ast::Literal) -> Result<(), NotPortable> {
    use ast::{HexLiteralKind, LiteralKind};
    match literal.kind {
        LiteralKind::HexFixed(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong)
        | LiteralKind::HexBrace(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong)
        | LiteralKind::Octal => Err(NotPortable { what: "characters written as \\u do" }),
        _ => Ok(()),
    }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

const UNCLEAR_HEAD: NotPortable = NotPortable { what: "a beginning of this form may" };
/// Levels of groups in a pattern.
const NEST_LIMIT: u32 = 32;
/// Go's bound on counted repetitions.
const MAX_REPETITIONS: u32 = 1000;
/// Beginnings that are followed at once.
const MAX_STATES: usize = 64;

#[cfg(test)]
mod tests {
    use super::{Foreign, for_go, from_go, from_wildcards, only_text};
    use crate::error::Location;
    use crate::matcher::{Fixed, Pattern};

    fn ours(pattern: &str) -> Pattern {
        Pattern::compile(pattern, &Location::new("test", ""), Fixed::Owner).unwrap()
    }

    #[test]
    fn dots_that_stand_for_dots_in_a_policy_stand_for_dots_in_go() {
        for (pattern, text) in [
            ("https://github.com/o/r/.+", r"^(?:https://github\.com/o/r/.+)$"),
            (r"https://github\.com/o/r/.+", r"^(?:https://github\.com/o/r/.+)$"),
            ("https://github[.]com/o/r/a.b", r"^(?:https://github[.]com/o/r/a.b)$"),
            ("https://(a.b|c.d)/o/x", r"^(?:https://(a\.b|c\.d)/o/x)$"),
            ("https://a.b/o.p", r"^(?:https://a\.b/o\.p)$"),
            ("https://a.b/o/x|https://c.d/p.q/.", r"^(?:https://a\.b/o/x|https://c\.d/p\.q/.)$"),
            ("^https://a.b/o/x$", r"^(?:^https://a\.b/o/x$)$"),
        ] {
            assert_eq!(for_go(&ours(pattern)).unwrap().text, text, "{pattern}");
        }
    }

    #[test]
    fn what_go_reads_otherwise_is_not_written_for_it() {
        for pattern in [
            "https://a/o/(?m)x",
            "https://a/o/(?x: y )",
            r"https://a/o/\bx",
            r"https://a/o/\D",
            r"https://a/o/[^\d]",
            r"https://a/o/\pL",
            "https://a/o/[a-z&&[^b]]",
            "https://a/o/[a[b]]",
            "https://a/o/x{1,2000}",
            "https://a/o/x{ 1 }",
            r"https://a/o/\u{61}",
            "https://a/o/x**",
            "https://a/o/(?s:.)",
            r"https://a/o/\<x",
        ] {
            assert!(for_go(&ours(pattern)).is_err(), "{pattern}");
        }
        assert!(for_go(&ours(r"https://a/o/v\d+")).unwrap().narrower);
        assert!(!for_go(&ours("https://a/o/(?i)v[0-9]{1,3}?")).unwrap().narrower);
    }

    #[test]
    fn go_s_classes_stay_ascii() {
        for (pattern, text) in [
            (r"^https://a/o/v\d+$", "https://a/o/v[0-9]+"),
            (r"^x[\w.-]\s\S$", r"x[0-9A-Za-z_.-][\t\n\f\r ][^\t\n\f\r ]"),
            (r"\Aa\bz\z", r"a(?-u:\b)z"),
            ("^(?:a|b)$", "a|b"),
            ("^(a|b)$", "(a|b)"),
            ("^a$|^b$", "^a$|^b$"),
        ] {
            assert_eq!(from_go(pattern).unwrap(), Foreign { text: text.into(), begins: true, ends: true }, "{pattern}");
        }
        for (pattern, begins, ends) in [
            ("a", false, false),
            ("^a", true, false),
            ("a$", false, true),
            ("^a|b$", false, false),
            ("^(a$|b)", true, false),
        ] {
            assert_eq!(from_go(pattern).unwrap(), Foreign { text: pattern.into(), begins, ends }, "{pattern}");
        }
        for pattern in ["[a&&b]", "[a~~b]", r"x\<y", "(?s)a.b", r"[\D]", "(?x)a b"] {
            assert!(from_go(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn wildcards_match_what_they_matched() {
        assert_eq!(from_wildcards("https://github.com/o/r/*").as_deref(), Some(r"https://github\.com/o/r/.*"));
        assert_eq!(from_wildcards("v?.[x]").as_deref(), Some(r"v.\.\[x\]"));
        assert_eq!(from_wildcards("https://github.com/o/r"), None);
    }

    #[test]
    fn a_pattern_of_one_text_is_that_text() {
        assert_eq!(only_text(r"https://a\.b[.]c"), Some(("https://a.b.c".into(), false)));
        assert_eq!(only_text("https://a.b"), Some(("https://a.b".into(), true)));
        for pattern in ["a+", "a|b", "[ab]", "(?i)a", r"a\b"] {
            assert_eq!(only_text(pattern), None, "{pattern}");
        }
    }
}
