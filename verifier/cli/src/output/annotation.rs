//! Annotations of a GitHub Actions job: the commands that we mean, in a form that no text from outside can leave.
//!
//! (actions/toolkit: packages/core/src/command.ts, `escapeData` and `escapeProperty`)

use countersign_oci::visible;

use crate::sarif::Level;

/// GitHub shows no more of a kind for one step.
const MAX_OF_A_LEVEL: usize = 10;
/// Longer titles are cut.
const TITLE_CHARACTERS: usize = 200;
/// Longer messages are cut: the text is in the job's log.
const MESSAGE_CHARACTERS: usize = 4_000;

/// One thing that the page of the job shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// How grave it is.
    pub level: Level,
    /// What it is about, in a few words.
    pub title: String,
    /// What there is to say; it may have several lines.
    pub message: String,
}

/// The lines that the runner takes for annotations. Where there are more of a kind than GitHub shows, the last one says how many.
pub(super) fn lines(annotations: &[Annotation]) -> Vec<String> {
    let mut lines = Vec::new();
    for level in [Level::Error, Level::Warning, Level::Note] {
        let of_level: Vec<&Annotation> = annotations.iter().filter(|annotation| annotation.level == level).collect();
        let fits = of_level.len() <= MAX_OF_A_LEVEL;
        let shown = if fits { of_level.len() } else { MAX_OF_A_LEVEL - 1 };
        lines.extend(of_level[..shown].iter().map(|annotation| line(annotation)));
        if !fits {
            let message = format!("{} more are in the log of the step", of_level.len() - shown);
            lines.push(line(&Annotation { level, title: "and more".to_owned(), message }));
        }
    }
    lines
}

fn line(annotation: &Annotation) -> String {
    let name = match annotation.level {
        Level::Error => "error",
        Level::Note => "notice",
        Level::Warning => "warning",
    };
    let title: String = annotation.title.chars().map(visible).collect();
    let title = escaped(&title, TITLE_CHARACTERS).replace(':', "%3A").replace(',', "%2C");
    format!("::{name} title={title}::{}", escaped(&annotation.message, MESSAGE_CHARACTERS))
}

/// One line that the runner turns back into the text.
fn escaped(text: &str, limit: usize) -> String {
    let mut escaped = String::new();
    for character in text.trim().chars().take(limit) {
        match character {
            '%' => escaped.push_str("%25"),
            '\n' => escaped.push_str("%0A"),
            character => escaped.push(visible(character)),
        }
    }
    if text.trim().chars().nth(limit).is_some() {
        escaped.push('…');
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(title: &str, message: &str) -> Annotation {
        Annotation { level: Level::Error, title: title.to_owned(), message: message.to_owned() }
    }

    /// Reads a line as the runner does. (actions/runner: src/Runner.Common/ActionCommand.cs, `TryParseV2`)
    fn read(line: &str) -> (String, String) {
        let rest = line.strip_prefix("::error ").unwrap();
        let (properties, data) = rest.split_once("::").unwrap();
        let (name, title) = properties.split_once('=').unwrap();
        assert!(name == "title" && !title.contains(','), "{line}");
        let title = title.replace("%3A", ":").replace("%2C", ",");
        let plain = |text: &str| text.replace("%0A", "\n").replace("%25", "%");
        (plain(&title), plain(data))
    }

    #[test]
    fn every_text_arrives_whole_and_stays_one_command() {
        for (title, message) in [
            ("ghcr.io/octo/app:v1", "unsigned: no signature found"),
            ("a,file=/etc/passwd::x", "first\nsecond"),
            ("100%, %0A%3A", "100% %0A::error::x\n::add-mask::x\n::stop-commands::y"),
        ] {
            let lines = lines(&[annotation(title, message)]);
            assert_eq!(lines.len(), 1);
            assert!(!lines[0].contains(['\n', '\r']), "{lines:?}");
            assert_eq!(read(&lines[0]), (title.to_owned(), message.to_owned()));
        }
    }

    #[test]
    fn nothing_that_nobody_sees_is_in_one() {
        let line = line(&annotation("a\r\n::b", "\u{1b}[2J\r::error::x\u{202e}"));
        assert_eq!(line, "::error title=a  %3A%3Ab::\u{fffd}[2J ::error::x\u{fffd}");
    }

    #[test]
    fn those_that_github_would_drop_are_counted() {
        let many = |count: usize| lines(&vec![annotation("a", "b"); count]);
        assert_eq!(many(10).len(), 10);
        assert_eq!(many(25).len(), 10);
        assert_eq!(many(25)[9], "::error title=and more::16 more are in the log of the step");
    }
}
