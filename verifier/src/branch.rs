//! Trees for people.

use crate::report::line;

/// A line with lines below it.
pub(crate) struct Branch {
    pub(crate) text: String,
    pub(crate) below: Vec<Branch>,
}

impl Branch {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), below: Vec::new() }
    }

    pub(crate) fn add(&mut self, text: impl Into<String>) {
        self.below.push(Self::new(text));
    }

    pub(crate) fn add_some(&mut self, label: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(format!("{label} {value}"));
        }
    }

    pub(crate) fn print(&self, text: &mut String, indent: &str) {
        line(text, &format!("{indent}{}", self.text));
        self.print_below(text, indent);
    }

    /// The depth is that of the types that are shown, and of nested indexes, which is bounded where they are read.
    fn print_below(&self, text: &mut String, indent: &str) {
        for (position, branch) in self.below.iter().enumerate() {
            let (fork, further) =
                if position + 1 == self.below.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            line(text, &format!("{indent}{fork}{}", branch.text));
            branch.print_below(text, &format!("{indent}{further}"));
        }
    }
}
