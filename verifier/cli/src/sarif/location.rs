//! Where a person looks to mend what was found.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// A place in a file, or a thing that stands for one: GitHub shows no result without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    uri: String,
    line: u64,
    column: u64,
    end_column: u64,
}

impl Location {
    /// Returns the beginning of a file. A path without a root is taken as one from the root of the repository, as GitHub does.
    #[must_use]
    pub fn file(path: &str) -> Self {
        let path = path.replace('\\', "/");
        let path = path.strip_prefix("./").unwrap_or(&path);
        let uri = match path.as_bytes() {
            [b'/', ..] => format!("file://{}", encoded(path)),
            [drive, b':', b'/', ..] if drive.is_ascii_alphabetic() => {
                format!("file:///{}:{}", char::from(*drive), encoded(&path[2..]))
            }
            _ => encoded(path),
        };
        Self::at(uri)
    }

    /// Returns a location for what lies in no file, such as an image: named like a file, which is how scanners of images do it.
    #[must_use]
    pub fn of_resource(name: &str) -> Self {
        Self::at(encoded(name.trim_start_matches('/')))
    }

    fn at(uri: String) -> Self {
        // The empty text would be no address.
        let uri = if uri.is_empty() { "-".to_owned() } else { uri };
        Self { uri, line: 1, column: 1, end_column: 2 }
    }

    /// Returns the location with a line and a column, both counted from 1, in characters.
    #[must_use]
    pub fn line_column(mut self, line: u64, column: u64) -> Self {
        (self.line, self.column) = (line.max(1), column.max(1));
        self.end_column = self.column.saturating_add(1);
        self
    }

    /// Returns the address.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    pub(super) fn document(&self) -> Value {
        let region = json!({
            "startLine": self.line, "startColumn": self.column, "endLine": self.line, "endColumn": self.end_column,
        });
        json!({"physicalLocation": {"artifactLocation": {"uri": self.uri}, "region": region}})
    }
}

/// Everything but what stands for itself in a path is written in percent form: a colon would make the registry's name a scheme.
fn encoded(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            // Writing to a string cannot fail.
            byte => _ = write!(uri, "%{byte:02X}"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_an_address_from_the_root_of_the_repository() {
        for (path, uri) in [
            ("policy.yaml", "policy.yaml"),
            ("./a/b c.yaml", "a/b%20c.yaml"),
            (r"a\b.yaml", "a/b.yaml"),
            ("/home/x/policy.yaml", "file:///home/x/policy.yaml"),
            (r"C:\x\p.yaml", "file:///C:/x/p.yaml"),
            ("https://evil.example/x?y#z", "https%3A//evil.example/x%3Fy%23z"),
            ("javascript:alert(1)", "javascript%3Aalert%281%29"),
            ("ä", "%C3%A4"),
            ("", "-"),
        ] {
            assert_eq!(Location::file(path).uri(), uri);
        }
        assert_eq!(Location::of_resource("localhost:5000/a/b").uri(), "localhost%3A5000/a/b");
    }

    #[test]
    fn lines_and_columns_begin_with_one() {
        let region = Location::file("x").line_column(0, 0).document()["physicalLocation"]["region"].clone();
        assert_eq!(region, json!({"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2}));
        let region = Location::file("x").line_column(3, 7).document()["physicalLocation"]["region"].clone();
        assert_eq!(region, json!({"startLine": 3, "startColumn": 7, "endLine": 3, "endColumn": 8}));
    }
}
