//! Plays a job: gives the steps the environment and the files that the runner gives them, and reads what they wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use super::definition::{Action, Context, Step, Values, Work};
use super::page;

/// What every step of a job sees.
#[derive(Clone)]
pub(crate) struct Machine {
    /// A folder of its own for each job, below this.
    pub(crate) folder: PathBuf,
    /// Where the programs lie that the steps find before those of the system.
    pub(crate) tools: PathBuf,
    /// The environment of the job.
    pub(crate) env: Values,
    /// The repository of the action at one commit, as the runner lays it.
    pub(crate) repository: PathBuf,
}

/// What a job or a call of the action did.
#[derive(Default)]
pub(crate) struct Played {
    pub(crate) exit: i32,
    /// Everything that was printed.
    pub(crate) log: String,
    pub(crate) outputs: Values,
    pub(crate) summary: String,
}

impl Machine {
    /// Calls the action with these inputs, in a job of its own.
    pub(crate) fn call(&self, inputs: &Values) -> anyhow::Result<Played> {
        let folder = self.job()?;
        self.call_in(folder.path(), "sign", inputs)
    }

    /// A new job: its workspace and the folder for its files, gone with it, as they hold a program of their own.
    pub(crate) fn job(&self) -> anyhow::Result<TempDir> {
        fs::create_dir_all(&self.folder)?;
        let folder = tempfile::Builder::new().prefix("job-").tempdir_in(&self.folder)?;
        for name in ["workspace", "temp", "home", "files"] {
            fs::create_dir(folder.path().join(name))?;
        }
        Ok(folder)
    }

    /// Calls an action of the repository with these inputs.
    pub(crate) fn call_in(&self, folder: &Path, name: &str, inputs: &Values) -> anyhow::Result<Played> {
        let place = self.repository.join(".github/actions").join(name);
        let action = Action::read(&place.join("action.yml"))?;
        let mut context = action.inputs(inputs)?;
        let mut played = self.steps(folder, &place, &action.steps, &mut context)?;
        played.outputs = action.outputs(&context)?;
        Ok(played)
    }

    /// Runs the scripts of steps, in order, until one fails.
    fn steps(&self, folder: &Path, place: &Path, steps: &[Step], context: &mut Context) -> anyhow::Result<Played> {
        let mut played = Played::default();
        for step in steps {
            if !step.is_wanted(context)? {
                continue;
            }
            let Work::Run(script) = &step.work else { bail!("{:?} runs no script", step.name) };
            let mut env = step.env(context)?;
            env.insert("GITHUB_ACTION_PATH".to_owned(), place.display().to_string());
            let outputs = self.script(folder, script, &env, &mut played)?;
            context.set_outputs(&format!("steps.{}", step.id), &outputs);
            if played.exit != 0 {
                break;
            }
        }
        Ok(played)
    }

    /// Runs one script as `shell: bash` does.
    fn script(&self, folder: &Path, script: &str, env: &Values, played: &mut Played) -> anyhow::Result<Values> {
        let file = |name: &str| folder.join("files").join(name);
        let given = [
            ("GITHUB_OUTPUT", "output"),
            ("GITHUB_STEP_SUMMARY", "summary"),
            ("GITHUB_ENV", "env"),
            ("GITHUB_PATH", "path"),
        ];
        let mut command = Command::new("bash");
        // What begins with the file itself, and ends with the first command that fails.
        command.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(file("script")).env_clear();
        command.envs(&self.env).envs(env).current_dir(folder.join("workspace"));
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.tools.display()));
        command.env("HOME", folder.join("home")).env("RUNNER_TEMP", folder.join("temp"));
        command.env("GITHUB_WORKSPACE", folder.join("workspace"));
        for (variable, name) in given {
            fs::write(file(name), "")?;
            command.env(variable, file(name));
        }
        fs::write(file("script"), script)?;
        // One file for both streams, so that their lines stay in order.
        let log = fs::File::create(file("log"))?;
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let status = command.status().context("cannot start bash")?;
        played.exit = status.code().unwrap_or(-1);
        played.log.push_str(&String::from_utf8_lossy(&fs::read(file("log"))?));
        played.summary.push_str(&fs::read_to_string(file("summary"))?);
        for name in ["env", "path"] {
            ensure!(fs::read(file(name))?.is_empty(), "a step changes the environment of those after it");
        }
        page::outputs(&fs::read_to_string(file("output"))?)
    }
}

impl Played {
    /// Adds what a later step did.
    pub(crate) fn add(&mut self, later: Self) {
        self.exit = later.exit;
        self.log.push_str(&later.log);
        self.summary.push_str(&later.summary);
        self.outputs.extend(later.outputs);
    }

    /// Fails, with what was printed, when it ended otherwise.
    pub(crate) fn expect(&self, exit: i32) -> anyhow::Result<&Self> {
        ensure!(self.exit == exit, "exit {} instead of {exit}\n{}\n{}", self.exit, self.log, self.summary);
        Ok(self)
    }

    /// Fails unless the runner obeys exactly these commands: what a step prints of others must never become one.
    pub(crate) fn expect_commands(&self, right: &[&str]) -> anyhow::Result<&Self> {
        let obeyed = page::commands(&self.log);
        let is_right = obeyed.len() == right.len() && obeyed.iter().zip(right).all(|(one, right)| one.contains(right));
        ensure!(is_right, "the runner obeys {obeyed:#?} instead of {right:#?}\n{}", self.log);
        Ok(self)
    }
}
