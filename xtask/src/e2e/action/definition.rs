//! The composite action and the reusable workflow, read from their files, and the few forms of expressions that they use.
//!
//! GitHub evaluates far more. Whatever is not a plain look-up is an error here, and no expression at all may stand in a script: what it
//! stands for would be read as a part of the script.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};

/// Names and values.
pub(crate) type Values = BTreeMap<String, String>;

/// A composite action.
pub(crate) struct Action {
    defaults: Values,
    outputs: Values,
    pub(crate) steps: Vec<Step>,
}

/// One step of an action or of a job.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) id: String,
    condition: Option<String>,
    pub(crate) work: Work,
    env: Values,
}

/// What a step does.
#[derive(Clone)]
pub(crate) enum Work {
    /// Runs a script.
    Run(String),
    /// Uses an action, with these inputs.
    Uses(String, Values),
}

/// One job of a workflow.
pub(crate) struct Job {
    pub(crate) condition: String,
    pub(crate) permissions: Values,
    outputs: Values,
    pub(crate) steps: Vec<Step>,
}

/// What expressions look up: `inputs.images`, `steps.gate.outputs.skipped`, ...
#[derive(Clone, Default)]
pub(crate) struct Context(Values);

impl Action {
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let document = document(file)?;
        let runs = &document["runs"];
        ensure!(runs["using"] == "composite", "{} is no composite action", file.display());
        let inputs = document["inputs"].as_object().context("no inputs")?;
        let described = |input: &Value| input["description"].as_str().is_some_and(|text| text.len() > 20);
        ensure!(inputs.values().all(described), "an input of {} is not described", file.display());
        let default = |(name, input): (&String, &Value)| Some((name.clone(), input["default"].as_str()?.to_owned()));
        let outputs = document["outputs"].as_object().context("no outputs")?;
        let output = |(name, output): (&String, &Value)| Ok((name.clone(), text(&output["value"])?));
        let steps = steps(&runs["steps"])?;
        for step in runs["steps"].as_array().into_iter().flatten() {
            ensure!(step["shell"] == "bash", "a step of {} names another shell", file.display());
        }
        Ok(Self {
            defaults: inputs.iter().filter_map(default).collect(),
            outputs: outputs.iter().map(output).collect::<anyhow::Result<_>>()?,
            steps,
        })
    }

    /// The inputs of a call: those that are given, and the defaults of the others. One that the action does not have is an error.
    pub(crate) fn inputs(&self, given: &Values) -> anyhow::Result<Context> {
        if let Some(unknown) = given.keys().find(|name| !self.defaults.contains_key(*name)) {
            bail!("the action has no input {unknown}");
        }
        let mut context = Context::default();
        for (name, default) in &self.defaults {
            context.set(&format!("inputs.{name}"), given.get(name).unwrap_or(default));
        }
        Ok(context)
    }

    /// The outputs of a call.
    pub(crate) fn outputs(&self, context: &Context) -> anyhow::Result<Values> {
        context.evaluate_all(&self.outputs)
    }
}

impl Job {
    /// Reads one job of a workflow.
    pub(crate) fn read(file: &Path, name: &str) -> anyhow::Result<Self> {
        let document = document(file)?;
        ensure!(
            document["permissions"] == Value::Object(Map::new()),
            "{} grants permissions to all jobs",
            file.display()
        );
        let job = document["jobs"].get(name).with_context(|| format!("{} has no job {name}", file.display()))?;
        Ok(Self {
            condition: text(&job["if"])?,
            permissions: values(&job["permissions"])?,
            outputs: values(&job["outputs"])?,
            steps: steps(&job["steps"])?,
        })
    }

    /// The outputs that other jobs see.
    pub(crate) fn outputs(&self, context: &Context) -> anyhow::Result<Values> {
        context.evaluate_all(&self.outputs)
    }
}

impl Step {
    /// Whether the step is to run.
    pub(crate) fn is_wanted(&self, context: &Context) -> anyhow::Result<bool> {
        self.condition.as_ref().map_or(Ok(true), |condition| context.holds(condition))
    }

    /// The environment that the step adds.
    pub(crate) fn env(&self, context: &Context) -> anyhow::Result<Values> {
        context.evaluate_all(&self.env)
    }
}

impl Context {
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// Removes everything that begins so.
    pub(crate) fn forget(&mut self, prefix: &str) {
        self.0.retain(|name, _| !name.starts_with(prefix));
    }

    /// Notes the outputs of a step. One that was not set is empty, as GitHub has it.
    pub(crate) fn set_outputs(&mut self, prefix: &str, outputs: &Values) {
        for (name, value) in outputs {
            self.set(&format!("{prefix}.outputs.{name}"), value);
        }
    }

    pub(crate) fn evaluate_all(&self, templates: &Values) -> anyhow::Result<Values> {
        let evaluate = |(name, template): (&String, &String)| {
            let value = self.evaluate(template).with_context(|| format!("{name}: {template}"))?;
            Ok((name.clone(), value))
        };
        templates.iter().map(evaluate).collect()
    }

    /// Replaces each `${{ LOOK.UP }}`.
    fn evaluate(&self, template: &str) -> anyhow::Result<String> {
        let mut value = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("${{") {
            let (path, after) = after.split_once("}}").context("an expression without end")?;
            value.push_str(before);
            value.push_str(&self.look_up(path.trim())?);
            rest = after;
        }
        value.push_str(rest);
        Ok(value)
    }

    fn look_up(&self, path: &str) -> anyhow::Result<String> {
        ensure!(is_path(path), "an expression that is more than a look-up: {path:?}");
        match self.0.get(path) {
            Some(value) => Ok(value.clone()),
            None if path.starts_with("steps.") && path.contains(".outputs.") => Ok(String::new()),
            None => bail!("an expression looks up what is not known here: {path}"),
        }
    }

    /// Decides a condition of the form `LOOK.UP == 'text' && LOOK.UP != 'text'`.
    pub(crate) fn holds(&self, condition: &str) -> anyhow::Result<bool> {
        let holds = |term: &str| {
            let unequal = term.split_once(" != ");
            let (path, text) = unequal.or_else(|| term.split_once(" == ")).context("a condition of another form")?;
            let text = text.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
            let text = text.filter(|text| !text.contains('\''));
            let text = text.with_context(|| format!("a condition that compares with no text: {term}"))?;
            Ok((self.look_up(path.trim())? == text) != unequal.is_some())
        };
        let all: Vec<bool> = condition.split(" && ").map(holds).collect::<anyhow::Result<_>>()?;
        Ok(all.into_iter().all(|holds| holds))
    }
}

fn is_path(path: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    path.contains('.') && path.split('.').all(word)
}

fn document(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("cannot parse {}", file.display()))
}

fn steps(value: &Value) -> anyhow::Result<Vec<Step>> {
    value.as_array().context("no steps")?.iter().map(step).collect()
}

fn step(value: &Value) -> anyhow::Result<Step> {
    let name = text(&value["name"]).context("a step without name")?;
    let work = match (value["run"].as_str(), value["uses"].as_str()) {
        (Some(run), None) => {
            ensure!(!run.contains("${{"), "the script of {name:?} holds an expression: {run}");
            Work::Run(run.to_owned())
        }
        (None, Some(uses)) => Work::Uses(uses.to_owned(), values(&value["with"])?),
        _ => bail!("{name:?} neither runs nor uses something"),
    };
    let known = ["name", "id", "if", "shell", "run", "env", "uses", "with"];
    let unknown = value.as_object().and_then(|step| step.keys().find(|key| !known.contains(&key.as_str())));
    ensure!(unknown.is_none(), "{name:?} has {unknown:?}, which is not played here");
    Ok(Step {
        id: value["id"].as_str().unwrap_or_default().to_owned(),
        condition: value["if"].as_str().map(str::to_owned),
        env: values(&value["env"])?,
        name,
        work,
    })
}

fn values(value: &Value) -> anyhow::Result<Values> {
    match value {
        Value::Null => Ok(Values::new()),
        Value::Object(members) => members.iter().map(|(name, value)| Ok((name.clone(), text(value)?))).collect(),
        other => bail!("not names and values: {other}"),
    }
}

fn text(value: &Value) -> anyhow::Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        other => bail!("not a text: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        let mut context = Context::default();
        context.set("inputs.a", "1");
        context.set_outputs("steps.gate", &[("skipped".to_owned(), "false".to_owned())].into());
        context
    }

    #[test]
    fn look_ups_are_replaced_and_everything_else_is_an_error() {
        let context = context();
        assert_eq!(context.evaluate("x-${{ inputs.a }}-${{ steps.gate.outputs.skipped }}").unwrap(), "x-1-false");
        assert_eq!(context.evaluate("${{ steps.gate.outputs.other }}").unwrap(), "");
        for template in [
            "${{ inputs.b }}",
            "${{ toJSON(inputs) }}",
            "${{ inputs.a || 'x' }}",
            "${{ github.event.pull_request.title }}",
            "${{ inputs.a",
        ] {
            assert!(context.evaluate(template).is_err(), "{template}");
        }
    }

    #[test]
    fn conditions_are_comparisons_with_texts() {
        let context = context();
        assert!(context.holds("steps.gate.outputs.skipped == 'false'").unwrap());
        assert!(!context.holds("inputs.a != '1'").unwrap());
        assert!(!context.holds("inputs.a == '1' && inputs.a == '2'").unwrap());
        for condition in ["always()", "inputs.a", "inputs.a == 1", "inputs.a == '1' || inputs.a == '2'"] {
            assert!(context.holds(condition).is_err(), "{condition}");
        }
    }
}
