//! What the runner makes of what a step wrote: outputs, and workflow commands in its log.
//! (actions/runner: src/Runner.Worker/FileCommandManager.cs, src/Runner.Common/ActionCommand.cs)

use anyhow::{Context as _, bail};

use super::definition::Values;

/// Reads names and values: `NAME=VALUE`, or `NAME<<END`, lines, `END`.
pub(crate) fn outputs(text: &str) -> anyhow::Result<Values> {
    let mut values = Values::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let equals = line.find('=').unwrap_or(usize::MAX);
        let heredoc = line.find("<<").unwrap_or(usize::MAX);
        let (name, value) = if heredoc < equals {
            let (name, end) = line.split_once("<<").context("no delimiter")?;
            let mut value = Vec::new();
            loop {
                match lines.next() {
                    Some(line) if line == end => break,
                    Some(line) => value.push(line),
                    None => bail!("{name} has no end"),
                }
            }
            (name, value.join("\n"))
        } else {
            let (name, value) = line.split_once('=').with_context(|| format!("no output: {line:?}"))?;
            (name, value.to_owned())
        };
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

/// The workflow commands that the runner would obey, those between `stop-commands` and its end left out.
pub(crate) fn commands(log: &str) -> Vec<String> {
    let mut obeyed = Vec::new();
    let mut stopped: Option<String> = None;
    for line in log.split(['\n', '\r']) {
        let Some((name, value)) = command(line) else { continue };
        match &stopped {
            Some(end) if name == *end => stopped = None,
            Some(_) => {}
            None if name == "stop-commands" => stopped = Some(value),
            None => obeyed.push(line.trim().to_owned()),
        }
    }
    obeyed
}

/// The name of a command and its value.
fn command(line: &str) -> Option<(String, String)> {
    let (info, value) = match line.trim_start().strip_prefix("::") {
        Some(rest) => rest.split_once("::")?,
        None => line.split_once("##[")?.1.split_once(']')?,
    };
    Some((info.split(' ').next().unwrap_or_default().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_of_both_forms_are_read() {
        let read = outputs("a=1=2\nb<<END\nx\ny=3\nEND\n").unwrap();
        assert_eq!((read["a"].as_str(), read["b"].as_str(), read.len()), ("1=2", "x\ny=3", 2));
        assert!(outputs("b<<END\nx\n").is_err() && outputs("x\n").is_err());
    }

    #[test]
    fn commands_are_found_and_stopped_as_the_runner_does() {
        let log = "x\n ::error title=a::b\n::stop-commands::T\n::error::c\n##[error]d\n::T::\ny ##[warning]e\n::f\n";
        assert_eq!(commands(log), ["::error title=a::b", "y ##[warning]e"]);
    }
}
