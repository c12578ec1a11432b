//! Reads the YAML of people who decide about trust: policies and configurations.
//!
//! YAML has many ways to say something other than what the reader of the file sees. An anchor or a merge brings in values from elsewhere, a
//! tag changes what a value is, an empty value switches a block off without a trace, a second document may replace the first. None of
//! them is accepted, and neither are unknown keys (where the target type denies them) or keys given twice. JSON is YAML and read the same way.
//!
//! Two passes over the same text: the first looks at the events of the parser and refuses constructs; then serde reads the values.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_saphyr::granit_parser::{self, ErrorKind, Event, Marker, Parser, ScalarStyle, Span};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use crate::error::{Location, PolicyError, YamlConstruct, YamlProblem};
use crate::suggest;

/// Returns the value that `text` holds, or says where and why it is refused. `origin` names the document in errors.
///
/// At most 256 KiB, 16 levels and 20,000 values. Types should be `deny_unknown_fields`: the reader cannot know their keys.
/// `null` is only accepted where it is written out, for `not_after` and `max_age`.
pub fn from_str<T: DeserializeOwned>(origin: &str, text: &str) -> Result<T, PolicyError> {
    if text.len() > MAX_BYTES {
        return Err(PolicyError::TooLarge { at: Location::new(origin, ""), bytes: text.len(), limit: MAX_BYTES });
    }
    Scan::new(origin).run(text)?;
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| refused(origin, text, &error))
}

/// Walks the parser's events and keeps the path of the present key.
struct Scan<'text> {
    origin: &'text str,
    frames: Vec<Frame<'text>>,
    documents: usize,
    values: usize,
}

enum Frame<'text> {
    Mapping { seen: BTreeSet<String>, key: Option<Cow<'text, str>> },
    Sequence { index: usize },
}

impl<'text> Scan<'text> {
    fn new(origin: &'text str) -> Self {
        Self { origin, frames: Vec::new(), documents: 0, values: 0 }
    }

    fn run(&mut self, text: &'text str) -> Result<(), PolicyError> {
        // Before any document it is skipped unseen, inside one it hides in keys and values.
        if let Some(at) = text.find('\u{feff}') {
            let before = &text[..at];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
            return Err(self.construct(YamlConstruct::ByteOrderMark, Marker::new(at, line, column)));
        }
        for next in Parser::new_from_str_with_options(text, parser_options()) {
            let (event, span) = next.map_err(|error| self.unparsable(&error))?;
            self.event(event, &span)?;
        }
        if self.values == 0 {
            return Err(PolicyError::EmptyDocument { at: Location::new(self.origin, "") });
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'text>, span: &Span) -> Result<(), PolicyError> {
        match event {
            Event::DocumentStart(_, version) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(self.construct(YamlConstruct::SecondDocument, span.start));
                }
                if version.is_some() {
                    return Err(self.construct(YamlConstruct::Directive, span.start));
                }
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                return Err(self.construct(YamlConstruct::Alias, span.start));
            }
            Event::Scalar(value, style, anchor, tag) => {
                self.node(anchor, tag.is_some(), span)?;
                self.scalar(value, style, span)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.node(anchor, tag.is_some(), span)?;
                self.enter(Frame::Sequence { index: 0 }, span)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.node(anchor, tag.is_some(), span)?;
                let seen = BTreeSet::new();
                self.enter(Frame::Mapping { seen, key: None }, span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.frames.pop();
                self.complete();
            }
            _ => {}
        }
        Ok(())
    }

    fn node(&mut self, anchor: usize, tagged: bool, span: &Span) -> Result<(), PolicyError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(PolicyError::TooComplex { at: self.at(span.start) });
        }
        if anchor != 0 {
            return Err(self.construct(YamlConstruct::Anchor, span.start));
        }
        if tagged {
            return Err(self.construct(YamlConstruct::Tag, span.start));
        }
        Ok(())
    }

    fn enter(&mut self, frame: Frame<'text>, span: &Span) -> Result<(), PolicyError> {
        if matches!(self.frames.last(), Some(Frame::Mapping { key: None, .. })) {
            return Err(self.construct(YamlConstruct::KeyOfOtherType, span.start));
        }
        if self.frames.len() == MAX_DEPTH {
            return Err(PolicyError::TooComplex { at: self.at(span.start) });
        }
        self.frames.push(frame);
        Ok(())
    }

    fn scalar(&mut self, value: Cow<'text, str>, style: ScalarStyle, span: &Span) -> Result<(), PolicyError> {
        let null = style == ScalarStyle::Plain && matches!(&*value, "" | "~" | "null" | "Null" | "NULL");
        if self.frames.is_empty() && null {
            return Err(PolicyError::EmptyDocument { at: self.at(span.start) });
        }
        if matches!(self.frames.last(), Some(Frame::Mapping { key: None, .. })) {
            return self.key(value, null, span);
        }
        // The parser gives an absent value the text `~`, over no characters.
        if null && (value.is_empty() || span.is_empty() || !self.may_be_null()) {
            return Err(self.construct(YamlConstruct::Null, span.start));
        }
        self.complete();
        Ok(())
    }

    fn key(&mut self, value: Cow<'text, str>, null: bool, span: &Span) -> Result<(), PolicyError> {
        if null {
            return Err(self.construct(YamlConstruct::KeyOfOtherType, span.start));
        }
        if value == "<<" {
            return Err(self.construct(YamlConstruct::Merge, span.start));
        }
        let mut fresh = true;
        if let Some(Frame::Mapping { seen, key }) = self.frames.last_mut() {
            fresh = seen.insert(value.to_lowercase());
            *key = Some(value);
        }
        if !fresh {
            return Err(PolicyError::DuplicateKey { at: self.at(span.start) });
        }
        Ok(())
    }

    /// Moves on after a whole value.
    fn complete(&mut self) {
        match self.frames.last_mut() {
            Some(Frame::Mapping { key, .. }) => *key = None,
            Some(Frame::Sequence { index }) => *index += 1,
            None => {}
        }
    }

    fn may_be_null(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Mapping { key: Some(key), .. }) if NULLABLE.contains(&&**key))
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.frames {
            match frame {
                Frame::Mapping { key: Some(key), .. } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Frame::Mapping { key: None, .. } => {}
                Frame::Sequence { index } => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }

    fn at(&self, marker: Marker) -> Location {
        Location::new(self.origin, &self.path()).at(marker.line() as u64, marker.col() as u64 + 1)
    }

    fn construct(&self, construct: YamlConstruct, marker: Marker) -> PolicyError {
        PolicyError::RefusedYaml { at: self.at(marker), construct }
    }

    fn unparsable(&self, error: &granit_parser::ScanError) -> PolicyError {
        let at = self.at(*error.marker());
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => PolicyError::TooComplex { at },
            kind => PolicyError::MalformedYaml { at, source: YamlProblem(kind.to_string()) },
        }
    }
}

/// Finds the path of the last key or value that begins at or before a place, and of the mapping around it: the reader's errors know only
/// line and column.
fn path_at(origin: &str, text: &str, line: u64, column: u64) -> NodePath {
    let mut scan = Scan::new(origin);
    let mut found = NodePath::default();
    for next in Parser::new_from_str_with_options(text, parser_options()) {
        let Ok((event, span)) = next else { break };
        let is_node = matches!(event, Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..));
        if is_node && (span.start.line() as u64, span.start.col() as u64 + 1) > (line, column) {
            break;
        }
        let is_key = matches!(scan.frames.last(), Some(Frame::Mapping { key: None, .. }));
        let before = scan.path();
        if scan.event(event, &span).is_err() {
            break;
        }
        if is_node {
            found = match is_key {
                true => NodePath { path: scan.path(), block: before },
                false => NodePath { path: before.clone(), block: before },
            };
        }
    }
    found
}

/// `path` leads to a key or value; `block` to the mapping that a key stands in, or to the value.
#[derive(Default)]
struct NodePath {
    path: String,
    block: String,
}

fn refused(origin: &str, text: &str, error: &serde_saphyr::Error) -> PolicyError {
    use serde_saphyr::Error;
    let error = error.without_snippet();
    let place = error.location();
    let (line, column) = place.map_or((0, 0), |place| (place.line(), place.column()));
    let NodePath { path, block } = path_at(origin, text, line, column);
    let at = Location::new(origin, &path).at(line, column);
    let wrong = |at, expected: &str| PolicyError::WrongType { at, expected: in_words(expected).to_owned() };
    match error {
        Error::Eof { .. } => PolicyError::EmptyDocument { at },
        Error::Budget { .. } => PolicyError::TooComplex { at },
        Error::DuplicateMappingKey { .. } => PolicyError::DuplicateKey { at },
        Error::SerdeMissingField { field, .. } => {
            PolicyError::MissingKey { at: Location::new(origin, &block).at(line, column).below(field) }
        }
        Error::SerdeUnknownField { field, expected, .. } => {
            PolicyError::UnknownKey { at, suggestion: suggest::nearest(field, expected) }
        }
        Error::SerdeUnknownVariant { expected, .. } => wrong(at, &expected.join(", ")),
        Error::SerdeInvalidType { expected, .. }
        | Error::SerdeInvalidValue { expected, .. }
        | Error::SerdeInvalidLength { expected, .. } => wrong(at, expected),
        Error::InvalidScalar { ty: expected, .. } | Error::Unexpected { expected, .. } => wrong(at, expected),
        Error::InvalidBooleanStrict { .. } => wrong(at, "true or false"),
        Error::ExpectedMappingEndAfterEnumVariantValue { .. } => wrong(at, "no second key"),
        Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. } => wrong(at, "mapping start"),
        other => {
            let plain = serde_saphyr::render_options! { snippets: serde_saphyr::SnippetMode::Off };
            PolicyError::MalformedYaml { at, source: YamlProblem(other.render_with_options(plain)) }
        }
    }
}

/// Says what the reader wanted in words of the document.
fn in_words(expected: &str) -> &str {
    match expected {
        "mapping start" => "a mapping",
        "sequence start" => "a list",
        "string scalar" => "text",
        "u64" => "a whole number",
        other => other,
    }
}

fn parser_options() -> granit_parser::Options {
    granit_parser::options! {
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_VALUES,
            max_events: 4 * MAX_VALUES,
            max_documents: 1,
            max_aliases: 0,
            max_anchors: 0,
            max_merge_keys: 0,
            max_total_scalar_bytes: MAX_BYTES,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        reject_tagged_field_names: true,
        strict_booleans: true,
        with_snippet: false,
    }
}

/// Bytes of one document. Real ones have one or two thousand.
const MAX_BYTES: usize = 256 * 1024;
/// Levels of nesting. A policy in a gallery's configuration needs seven.
const MAX_DEPTH: usize = 16;
/// Keys and values of one document.
const MAX_VALUES: usize = 20_000;
/// Keys whose `null` says the same as their absence, and weakens nothing that was there.
const NULLABLE: [&str; 2] = ["not_after", "max_age"];
