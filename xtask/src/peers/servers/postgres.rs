//! PostgreSQL of Debian, in a folder of its own, for Trillian.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use super::super::Bench;
use super::super::process::{self, Server};

/// A running database; it is stopped before its folder goes.
pub(super) struct Postgres {
    pub(super) uri: String,
    _server: Server,
    _folder: TempDir,
}

impl Postgres {
    /// Starts a database and fills it from a file of SQL.
    pub(super) fn start(bench: &Bench<'_>, schema: &Path) -> anyhow::Result<Self> {
        let programs = bench.toolbox.folder("postgresql")?.to_path_buf();
        // Not in the bench's folder, which only its owner may enter; and short, as paths of sockets may have 107 bytes only.
        let folder = tempfile::Builder::new().prefix("countersign-postgres-").tempdir()?;
        let account = Account::of_database()?;
        if let Some(account) = &account {
            chown(folder.path(), Some(account.user), Some(account.group))?;
        }
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700))?;
        let data = folder.path().join("data");
        let port = process::free_port()?;
        let command = |name: &str| {
            let mut command = process::command(&programs.join(name), folder.path());
            command.current_dir(folder.path());
            if let Some(account) = &account {
                command.uid(account.user).gid(account.group);
            }
            command
        };
        let mut initdb = command("initdb");
        initdb.args(["--no-sync", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        process::call(with(initdb, &[("-D", &data)]))?.ok().context("initdb")?;
        let mut server = with(command("postgres"), &[("-D", &data), ("-k", folder.path())]);
        server.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        let address = ["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres"].map(str::to_owned);
        let ready = || {
            let mut isready = command("pg_isready");
            isready.args(&address);
            process::call(isready).is_ok_and(|run| run.success())
        };
        let server = Server::start("postgres", server, &bench.folder("postgres")?.join("log"), ready)?;
        // Killed outright it would leave shared memory behind. SIGQUIT ends it at once, and all its children.
        let server = server.stopped_by(Signal::QUIT, "QUIT")?;
        let mut psql = command("psql");
        psql.args(&address)
            .args(["-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c"])
            .arg(fs::read_to_string(schema)?);
        process::call(psql)?.ok().context("psql")?;
        let uri = format!("postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable");
        Ok(Self { uri, _server: server, _folder: folder })
    }
}

fn with(mut command: Command, paths: &[(&str, &Path)]) -> Command {
    for (flag, path) in paths {
        command.arg(flag).arg(path);
    }
    command
}

/// The account that Debian made for the database, which refuses to run as root.
struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// Returns the account to change to; `None` where this is not root.
    fn of_database() -> anyhow::Result<Option<Self>> {
        if fs::metadata("/proc/self")?.uid() != 0 {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd")?;
        let line = accounts.lines().find(|line| line.starts_with("postgres:")).context("no account postgres")?;
        let fields: Vec<&str> = line.split(':').collect();
        ensure!(fields.len() == 7, "the account postgres has {} fields", fields.len());
        Ok(Some(Self { user: fields[2].parse()?, group: fields[3].parse()? }))
    }
}
