//! Splits a command line as a shell would, without being one: what would need a shell to know is refused.

use super::{ImportError, inexpressible};
use crate::error::Location;

/// How two commands are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    /// `&&`
    And,
    /// `||`
    Or,
}

/// Returns the words of each command, and what joins them. All joints are the same.
pub(super) fn commands(origin: &str, text: &str) -> Result<(Vec<Vec<String>>, Option<Joint>), ImportError> {
    let mut commands = vec![Vec::new()];
    let mut joint = None;
    for token in Tokens::new(origin, text).read()? {
        match token {
            Token::Word(word) => {
                if let Some(command) = commands.last_mut() {
                    command.push(word);
                }
            }
            Token::Joint(next, at) => {
                if joint.is_some_and(|joint| joint != next) {
                    let why = "joins commands with both && and ||";
                    return Err(inexpressible("shell-construct", &at, "", why, PLAIN_COMMAND));
                }
                joint = Some(next);
                commands.push(Vec::new());
            }
        }
    }
    Ok((commands, joint))
}

enum Token {
    Word(String),
    Joint(Joint, Location),
}

struct Tokens<'text> {
    origin: &'text str,
    letters: std::iter::Peekable<std::str::Chars<'text>>,
    line: u64,
    word: Option<String>,
    tokens: Vec<Token>,
}

impl<'text> Tokens<'text> {
    fn new(origin: &'text str, text: &'text str) -> Self {
        Self { origin, letters: text.chars().peekable(), line: 1, word: None, tokens: Vec::new() }
    }

    fn read(mut self) -> Result<Vec<Token>, ImportError> {
        while let Some(letter) = self.next() {
            match letter {
                ' ' | '\t' | '\r' => self.end_word(),
                '\n' => self.end_line()?,
                '\'' => self.single_quoted()?,
                '"' => self.double_quoted()?,
                '\\' => match self.next() {
                    Some('\n') => {}
                    Some(letter) => self.push(letter),
                    None => return Err(self.refused("ends in a backslash")),
                },
                '#' if self.word.is_none() => while self.letters.next_if(|letter| *letter != '\n').is_some() {},
                '&' if self.letters.next_if_eq(&'&').is_some() => self.joint(Joint::And),
                '|' if self.letters.next_if_eq(&'|').is_some() => self.joint(Joint::Or),
                '$' | '`' | '&' | '|' | ';' | '<' | '>' | '(' | ')' | '{' | '}' | '*' | '?' | '[' | '~' | '!' => {
                    return Err(self.refused("a shell would make something else of a character that is not quoted"));
                }
                letter => self.push(letter),
            }
        }
        self.end_word();
        Ok(self.tokens)
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.letters.next()?;
        self.line += u64::from(letter == '\n');
        Some(letter)
    }

    fn push(&mut self, letter: char) {
        self.word.get_or_insert_default().push(letter);
    }

    fn end_word(&mut self) {
        self.tokens.extend(self.word.take().map(Token::Word));
    }

    /// A line ends a command, unless nothing was said or a joint goes before.
    fn end_line(&mut self) -> Result<(), ImportError> {
        self.end_word();
        while self.letters.next_if(|letter| letter.is_ascii_whitespace()).is_some() {}
        let goes_on = matches!(self.tokens.last(), None | Some(Token::Joint(..)));
        match goes_on || matches!(self.letters.peek(), None | Some('#' | '|' | '&')) {
            true => Ok(()),
            false => Err(self.refused("a second command follows")),
        }
    }

    fn joint(&mut self, joint: Joint) {
        self.end_word();
        let at = self.at();
        self.tokens.push(Token::Joint(joint, at));
    }

    fn single_quoted(&mut self) -> Result<(), ImportError> {
        self.word.get_or_insert_default();
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some(letter) => self.push(letter),
                None => return Err(self.refused("a quote is not closed")),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<(), ImportError> {
        self.word.get_or_insert_default();
        loop {
            match self.next() {
                Some('"') => return Ok(()),
                Some('\\') => match self.next() {
                    Some('\n') => {}
                    Some(letter @ ('"' | '\\' | '$' | '`')) => self.push(letter),
                    Some(letter) => {
                        self.push('\\');
                        self.push(letter);
                    }
                    None => return Err(self.refused("a quote is not closed")),
                },
                Some('$' | '`') => return Err(self.refused("a variable or a command stands in quotes")),
                Some(letter) => self.push(letter),
                None => return Err(self.refused("a quote is not closed")),
            }
        }
    }

    fn at(&self) -> Location {
        Location::new(self.origin, "").at(self.line, 0)
    }

    fn refused(&self, why: &'static str) -> ImportError {
        inexpressible("shell-construct", &self.at(), "", why, PLAIN_COMMAND)
    }
}

const PLAIN_COMMAND: Option<&str> = Some("give one plain `cosign verify` command, its values in single quotes");

#[cfg(test)]
mod tests {
    use super::{Joint, commands};

    #[test]
    fn words_are_those_of_a_shell() {
        for (text, words) in [
            ("cosign  verify 'a b'\"c d\"e\\ f", vec!["cosign", "verify", "a bc de f"]),
            ("# why\n\ncosign \\\n  verify ''\n", vec!["cosign", "verify", ""]),
            (r#"a "\"\\x\d" '\d' b#c"#, vec!["a", r#""\x\d"#, r"\d", "b#c"]),
        ] {
            assert_eq!(commands("x", text).unwrap(), (vec![words.into_iter().map(str::to_owned).collect()], None));
        }
        let (all, joint) = commands("x", "a 1 ||\n b 2\n|| c").unwrap();
        assert_eq!((all.len(), joint), (3, Some(Joint::Or)));
    }

    #[test]
    fn what_needs_a_shell_is_refused() {
        for text in [
            "a $B",
            "a \"$B\"",
            "a `b`",
            "a; b",
            "a | b",
            "a & b",
            "a > b",
            "a\nb",
            "a 'b",
            "a \"b",
            "a \\",
            "a *",
            "a && b || c",
        ] {
            assert_eq!(commands("x", text).unwrap_err().code(), "shell-construct", "{text}");
        }
    }
}
