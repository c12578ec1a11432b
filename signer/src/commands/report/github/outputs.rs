//! Step outputs, in the form of the file that GITHUB_OUTPUT names.

use super::JobReport;

/// Returns the outputs, or nothing where a value holds the delimiter. Every value is in the form of many lines: `NAME<<DELIMITER`, the
/// value, `DELIMITER`.
pub(super) fn outputs(report: &JobReport<'_>, delimiter: &str) -> Option<String> {
    let mut text = String::new();
    for (name, value) in values(report) {
        if value.contains(delimiter) {
            return None;
        }
        text.push_str(&format!("{name}<<{delimiter}\n{value}\n{delimiter}\n"));
    }
    Some(text)
}

fn values(report: &JobReport<'_>) -> [(&'static str, String); 4] {
    [
        ("digest", lines(&report.digests)),
        ("bundle", lines(&report.bundles)),
        ("log-index", lines(&report.log_indexes)),
        ("verify-command", report.verify_command.unwrap_or_default().to_owned()),
    ]
}

fn lines(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use countersign_oci::Digest;

    use super::*;

    const DELIMITER: &str = "end-00112233445566778899aabbccddeeff";

    /// Reads the file as the runner does. (actions/runner: src/Runner.Worker/FileCommandManager.cs, `EnvFileKeyValuePairs`)
    fn read(text: &str) -> BTreeMap<String, String> {
        let mut read = BTreeMap::new();
        let mut lines = text.split('\n');
        while let Some(line) = lines.next() {
            if line.is_empty() {
                continue;
            }
            let heredoc = line.split_once("<<").filter(|(name, _)| !name.contains('='));
            let (name, value) = match heredoc {
                Some((name, delimiter)) => {
                    let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
                    (name, value.join("\n"))
                }
                None => line.split_once('=').map(|(name, value)| (name, value.to_owned())).unwrap(),
            };
            read.insert(name.to_owned(), value);
        }
        read
    }

    #[test]
    fn every_value_arrives_whole() {
        let digests = vec![Digest::of(b"a"), Digest::of(b"b")];
        let report = JobReport {
            digests: digests.clone(),
            bundles: vec![Digest::of(b"c")],
            log_indexes: vec![7, 8],
            verify_command: Some("countersign-verifier verify 'a=b<<c'"),
            ..JobReport::default()
        };
        let read = read(&outputs(&report, DELIMITER).unwrap());
        assert_eq!(read["digest"], format!("{}\n{}", digests[0], digests[1]));
        assert_eq!(read["bundle"], Digest::of(b"c").to_string());
        assert_eq!(read["log-index"], "7\n8");
        assert_eq!(read["verify-command"], "countersign-verifier verify 'a=b<<c'");
        assert_eq!(read.len(), 4);
    }

    #[test]
    fn a_value_cannot_end_itself_and_begin_another_output() {
        let hostile = format!("x\nEOF\nend-\n{}\nevil=1\nevil<<E\n1\nE", &DELIMITER[..DELIMITER.len() - 1]);
        let report = JobReport { verify_command: Some(&hostile), ..JobReport::default() };
        let read = read(&outputs(&report, DELIMITER).unwrap());
        assert_eq!(read["verify-command"], hostile);
        assert_eq!(read.len(), 4);
    }

    #[test]
    fn nothing_is_written_where_a_value_holds_the_delimiter() {
        let hostile = format!("x\n{DELIMITER}\nevil=1");
        let report = JobReport { verify_command: Some(&hostile), ..JobReport::default() };
        assert_eq!(outputs(&report, DELIMITER), None);
    }
}
