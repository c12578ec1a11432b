//! Keeps what is printed from being read as a command of the CI system.
//!
//! The runner of GitHub Actions reads every line of standard output and error. It takes `::name::` at the beginning of a line, after any
//! white space, and `##[name]` anywhere in one, for a command: to mask, to annotate, to stop. So text from outside must hold neither.
//! (actions/runner: src/Runner.Common/ActionCommand.cs, `TryParseV2` and `TryParse`)

use std::io::{self, Write};

use countersign_oci::visible;

/// Returns text for people whose lines are no commands: a space stands in one where it would begin.
pub(super) fn without_commands(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut line = Line::default();
    for character in text.chars() {
        if line.would_begin(character) {
            plain.push(' ');
        }
        line.add(character);
        plain.push(character);
    }
    plain
}

/// Returns a JSON document that says the same and holds no command. No line of one begins with a colon, and `##[` stands only inside
/// texts, where its last character may be written as an escape.
pub(super) fn json_without_commands(document: &str) -> String {
    let mut plain = String::with_capacity(document.len());
    let mut line = Line::default();
    for character in document.chars() {
        match character {
            '[' if line.would_begin(character) => plain.push_str(r"\u005b"),
            character => plain.push(character),
        }
        line.add(character);
    }
    plain
}

/// What a line holds so far, as the runner compares it: characters that nobody sees do not count there.
#[derive(Default)]
struct Line {
    has_text: bool,
    has_colon_first: bool,
    hashes: usize,
}

impl Line {
    /// Whether this character is the one that makes the line a command.
    fn would_begin(&self, character: char) -> bool {
        match character {
            ':' => self.has_colon_first,
            '[' => self.hashes >= 2,
            _ => false,
        }
    }

    fn add(&mut self, character: char) {
        match character {
            // The runner ends a line at either, and at both together.
            '\n' | '\r' => *self = Self::default(),
            character if is_unseen(character) => {}
            character => {
                self.hashes = if character == '#' { self.hashes + 1 } else { 0 };
                self.has_colon_first = !self.has_text && character == ':';
                self.has_text |= !character.is_whitespace();
            }
        }
    }
}

fn is_unseen(character: char) -> bool {
    character != char::REPLACEMENT_CHARACTER && visible(character) == char::REPLACEMENT_CHARACTER
}

/// Writes what is logged, each piece a whole line, without commands.
pub(crate) struct WithoutCommands<W: Write>(pub(crate) W);

impl<W: Write> Write for WithoutCommands<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(without_commands(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the runner would take for a command.
    fn is_command(line: &str) -> bool {
        let seen: String = line.chars().filter(|character| !is_unseen(*character)).collect();
        seen.trim_start().starts_with("::") || seen.contains("##[")
    }

    #[test]
    fn no_line_is_a_command_wherever_it_began() {
        let hostile = [
            "::error::x",
            "  \t::add-mask::x",
            "\u{3000}\u{a0}::error::x",
            "fine\n::error::x",
            "fine\r::error::x\r\n::stop-commands::x",
            "\u{1b}:\u{200d}:error::x",
            "text ##[error]x",
            "#\u{ad}#\u{7}[error]x",
            "##[##[error]]x",
            "::##[error]x",
            ":::::error::x",
            "####[[error]x",
        ];
        for text in hostile {
            assert!(text.split(['\n', '\r']).any(is_command), "{text:?}");
            let plain = without_commands(text);
            assert!(!plain.split(['\n', '\r']).any(is_command), "{plain:?}");
            assert_eq!(plain.split_whitespace().collect::<String>(), text.split_whitespace().collect::<String>());
        }
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in
            ["", "a::b", "error: x\n  caused by: y\n", "## heading", "a #[b]", "std::io", ": x\n:x", "a : :", "# #["]
        {
            assert_eq!(without_commands(text), text);
        }
    }

    #[test]
    fn a_document_keeps_its_meaning() {
        let value = serde_json::json!({ "::a": "##[error]b #\u{200b}#[d", "##[c]": [[], "x\n::error::y"] });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let plain = json_without_commands(&text);
        assert!(!plain.lines().any(is_command), "{plain}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&plain).unwrap(), value);
    }

    #[test]
    fn what_is_logged_goes_the_same_way() {
        let mut written = Vec::new();
        WithoutCommands(&mut written).write_all(b"WARN x\n::error::y\n").unwrap();
        assert_eq!(written, b"WARN x\n: :error::y\n");
    }
}
