//! What every error becomes before it is shown: a message, its causes, what to do, and a place for programs to branch on.

use std::error::Error;

use countersign_oci::{Class, visible};
use serde::Serialize;

use crate::exit::Exit;

/// A failure, ready to be printed or put into a JSON document.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// How the program ends.
    #[serde(skip)]
    pub exit: Exit,
    /// A stable name, for programs.
    pub code: String,
    /// Who or what is to blame.
    pub class: &'static str,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// What failed, in one line.
    pub message: String,
    /// Why, from the outermost cause to the innermost.
    pub causes: Vec<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// Returns the failure that an error of this class is. Its sources become the causes.
    #[must_use]
    pub fn new(error: &dyn Error, code: &str, class: Class, retryable: bool, hint: Option<String>) -> Self {
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(clean(&cause.to_string()));
            source = cause.source();
        }
        Self {
            exit: exit(class),
            code: code.to_owned(),
            class: class.as_str(),
            retryable,
            message: clean(&error.to_string()),
            causes,
            hint: hint.map(|hint| clean(&hint)),
        }
    }

    /// Returns a failure of usage: the call or a file that the operator wrote is wrong.
    #[must_use]
    pub fn usage(code: &str, message: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            exit: Exit::Usage,
            code: code.to_owned(),
            class: Class::Usage.as_str(),
            retryable: false,
            message: clean(&message.into()),
            causes: Vec::new(),
            hint: hint.map(|hint| clean(&hint)),
        }
    }

    /// Returns the failure with another way to end: where the class alone does not tell.
    #[must_use]
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Returns the lines that a person reads.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("error: {}", self.message)];
        lines.extend(self.causes.iter().map(|cause| format!("  caused by: {cause}")));
        lines.extend(self.hint.iter().map(|hint| format!("  hint: {hint}")));
        lines
    }
}

fn exit(class: Class) -> Exit {
    match class {
        Class::Rejected => Exit::Rejected,
        Class::Usage => Exit::Usage,
        _ => Exit::Undecided,
    }
}

/// Text from outside must not write to a terminal.
fn clean(text: &str) -> String {
    let clean = |c: char| match c {
        '\n' => c,
        c if c.is_control() => '\u{fffd}',
        c => visible(c),
    };
    text.trim_end().chars().map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_codes_of_a_server_do_not_reach_the_terminal() {
        let error = std::io::Error::other("a\u{1b}[2Jb\rc\u{202e}d");
        let failure = Failure::new(&error, "io", Class::Unreachable, true, Some("x\u{7}y".into()));
        assert_eq!(failure.message, "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        assert_eq!(failure.hint.as_deref(), Some("x\u{fffd}y"));
        assert_eq!(failure.exit, Exit::Undecided);
    }

    #[test]
    fn only_a_rejection_and_usage_have_exit_codes_of_their_own() {
        let exit_of = |class| Failure::new(&std::io::Error::other("x"), "x", class, false, None).exit;
        assert_eq!(exit_of(Class::Rejected), Exit::Rejected);
        assert_eq!(exit_of(Class::Usage), Exit::Usage);
        for class in [Class::Denied, Class::Throttled, Class::Unreachable, Class::NotFound, Class::Malformed] {
            assert_eq!(exit_of(class), Exit::Undecided, "{class:?}");
        }
    }
}
