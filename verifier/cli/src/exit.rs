//! Exit codes, the same in every binary.

use std::process::ExitCode;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done.
    Done,
    /// The program is wrong.
    Bug,
    /// The call or the configuration is wrong.
    Usage,
    /// Something was judged, and the answer is no. Unsigned is a no.
    Rejected,
    /// Nothing could be decided or finished: safe to run again.
    Undecided,
}

impl Exit {
    /// Returns the code that the process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Bug => 1,
            Self::Usage => 2,
            Self::Rejected => 3,
            Self::Undecided => 4,
        }
    }

    /// Returns the graver of two: a bug before usage, usage before a rejection, that before no answer.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Done, other) => other,
            (this, Self::Done) => this,
            (this, other) if this.code() <= other.code() => this,
            (_, other) => other,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit::{self, Bug, Done, Rejected, Undecided, Usage};

    #[test]
    fn of_several_the_gravest_decides() {
        let gravest = |exits: &[Exit]| exits.iter().copied().fold(Done, Exit::and);
        assert_eq!(gravest(&[]), Done);
        assert_eq!(gravest(&[Done, Undecided, Done]), Undecided);
        assert_eq!(gravest(&[Undecided, Rejected]), Rejected);
        assert_eq!(gravest(&[Rejected, Usage, Undecided]), Usage);
        assert_eq!(gravest(&[Usage, Bug, Rejected]), Bug);
    }
}
