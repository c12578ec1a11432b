//! The reusable workflow, played job by job: what its steps get of other people's actions is laid by hand, its own actions are real.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use super::Stage;
use super::definition::{Context, Job, Values, Work};
use super::job::{Machine, Played};
use crate::shell::root;

/// A call of the workflow.
pub(super) struct Call<'s> {
    stage: &'s Stage,
    file: PathBuf,
    /// The files of the artifacts that match the pattern.
    digests: Vec<String>,
    /// Artifacts that its own jobs exchange, by name.
    artifacts: TempDir,
    context: Context,
}

impl<'s> Call<'s> {
    /// Calls the workflow with these inputs and secrets, after jobs that uploaded files of these names.
    pub(super) fn new(stage: &'s Stage, inputs: &Values, secrets: &Values, digests: &[String]) -> anyhow::Result<Self> {
        let artifacts = stage.machine.job()?;
        let mut context = Context::default();
        for (name, value) in inputs {
            context.set(&format!("inputs.{name}"), value);
        }
        for (name, value) in secrets {
            context.set(&format!("secrets.{name}"), value);
        }
        context.set("github.event_name", "push");
        let file = root().join(".github/workflows/merge-and-sign.yml");
        Ok(Self { stage, file, digests: digests.to_vec(), artifacts, context })
    }

    /// Both jobs, the second where the first succeeded. What it returns is the last that ran.
    pub(super) fn play(&mut self) -> anyhow::Result<Played> {
        let prepared = self.job("prepare")?;
        if prepared.exit != 0 {
            return Ok(prepared);
        }
        self.job("sign")
    }

    /// Whether a job would run after an event.
    pub(super) fn runs_after(&self, job: &str, event: &str) -> anyhow::Result<bool> {
        let mut context = self.context.clone();
        context.set("github.event_name", event);
        context.holds(&Job::read(&self.file, job)?.condition)
    }

    /// The permissions of a job.
    pub(super) fn permissions(&self, job: &str) -> anyhow::Result<Values> {
        Ok(Job::read(&self.file, job)?.permissions)
    }

    /// Plays one job. Where there is no identity token there is no secret either: a step that asks for one is an error.
    fn job(&mut self, name: &str) -> anyhow::Result<Played> {
        let job = Job::read(&self.file, name)?;
        let mut machine = self.stage.machine.clone();
        let may_sign = job.permissions.get("id-token").is_some_and(|granted| granted == "write");
        if !may_sign {
            machine.env.retain(|variable, _| !variable.starts_with("ACTIONS_ID_TOKEN"));
        }
        let folder = machine.job()?;
        let mut context = self.context.clone();
        if !may_sign {
            context.forget("secrets.");
        }
        let mut played = Played::default();
        for step in &job.steps {
            let Work::Uses(action, with) = &step.work else { bail!("{:?} has a script of its own", step.name) };
            let with = context.evaluate_all(with).with_context(|| step.name.clone())?;
            let more = self.uses(&machine, folder.path(), action, &with).with_context(|| step.name.clone())?;
            context.set_outputs(&format!("steps.{}", step.id), &more.outputs);
            played.add(more);
            if played.exit != 0 {
                return Ok(played);
            }
        }
        played.outputs = job.outputs(&context)?;
        self.context.set_outputs(&format!("needs.{name}"), &played.outputs);
        Ok(played)
    }

    fn uses(&self, machine: &Machine, folder: &Path, action: &str, with: &Values) -> anyhow::Result<Played> {
        let workspace = folder.join("workspace");
        let given = |name: &str| with.get(name).with_context(|| format!("{action} without {name}"));
        // The repository of the workflow itself, at its commit.
        if let Some(own) = action.strip_prefix("$/.github/actions/") {
            return machine.call_in(folder, own, with);
        }
        let (name, commit) = action.split_once('@').context("an action without a version")?;
        ensure!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{action} is not pinned");
        match name {
            "actions/download-artifact" if with.contains_key("pattern") => {
                let to = workspace.join(given("path")?);
                // No artifact that matches is no error of that action, and no folder.
                for digest in &self.digests {
                    fs::create_dir_all(&to)?;
                    fs::write(to.join(digest), "")?;
                }
            }
            "actions/download-artifact" => {
                copy(&self.artifacts.path().join(given("name")?), &workspace.join(given("path")?))?
            }
            "actions/upload-artifact" => {
                let file = PathBuf::from(given("path")?);
                let to = self.artifacts.path().join(given("name")?);
                fs::create_dir(&to).context("an artifact of that name is there")?;
                let name = file.file_name().context("an artifact without file")?;
                // As an archive of that action: modes are lost.
                fs::write(to.join(name), fs::read(&file)?)?;
            }
            other => bail!("{other} is not played here"),
        }
        Ok(Played::default())
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("no artifact {}", from.display()))? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
