//! Files and statements without a registry: ours and the libraries sign, and all of them verify.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use sandbox::digest_of;
use serde_json::{Value, json};

use super::limits;
use super::verifying::{ANOTHER_IDENTITY, Judge, Refusal};
use super::world::World;
use crate::peers::Bench;
use crate::peers::install::Missing;
use crate::peers::judges::{self, Answer};
use crate::peers::libraries::{self, About, Library};
use crate::peers::matrix::{Section, Shown};
use crate::peers::process::{self, Run};
use crate::peers::stack::Stack;

/// The client that the conformance suite is run with: our programs sign and verify images, not files.
const CLIENT: &str = "examples/conformance";
/// The reference of something that is in no registry.
const NOWHERE: &str = "registry.invalid/octo/file";

/// Who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    Ours,
    Library(Library),
}

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The bytes of the file, as a message signature.
    File,
    /// An in-toto statement about it, in an envelope.
    Statement,
}

/// A bundle, and the file that it is about.
struct Signed {
    signer: Signer,
    form: Form,
    bundle: PathBuf,
    file: PathBuf,
    another: PathBuf,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours => f.write_str("ours"),
            Self::Library(library) => write!(f, "{library}"),
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Statement => "statement",
        })
    }
}

/// Lets everybody sign and every judge verify; the rows are signer and form.
pub(crate) fn run(bench: &Bench<'_>, world: &World, judges: &[Judge], section: &mut Section) {
    let mut all = Vec::new();
    for signer in [Signer::Ours, Signer::Library(Library::Python), Signer::Library(Library::Js)] {
        for form in [Form::File, Form::Statement] {
            section.cell(&row(world, signer, form), "signs", || {
                let (signed, shown) = sign(bench, world, signer, form)?;
                all.extend(signed);
                Ok(shown)
            });
        }
    }
    for judge in judges.iter().filter(|judge| **judge == Judge::Ours || !judge.reads_registries()) {
        note(bench, world, *judge, &all, section);
    }
}

fn row(world: &World, signer: Signer, form: Form) -> String {
    format!("{signer}, {form}, {}", world.stack.rekor)
}

/// Signs. `None` where the signer is known not to be able to, and said so.
fn sign(bench: &Bench<'_>, world: &World, signer: Signer, form: Form) -> anyhow::Result<(Option<Signed>, Shown)> {
    let name = row(world, signer, form).replace([' ', ','], "-");
    let content = format!("{name}\n");
    let file = world.write(&name, "file", content.as_bytes())?;
    let another = world.write(&name, "another", format!("not {content}").as_bytes())?;
    let input = match form {
        Form::File => file.clone(),
        Form::Statement => world.write(&name, "statement.json", statement(&content).to_string().as_bytes())?,
    };
    let bundle = file.with_extension("bundle.json");
    let run = match signer {
        Signer::Ours => ours_signs(bench, &world.stack, form, &input, &bundle)?,
        Signer::Library(library) => {
            let trust = match library {
                Library::Python => client_trust_config(world)?,
                _ => world.stack.signing_config.clone(),
            };
            let mut command = library.signer(bench)?;
            command.arg(trust).arg(world.stack.token()?).args([&form.to_string()]).arg(&input).arg(&bundle);
            process::call(command)?
        }
    };
    if let Some(words) = limits::of_signing(signer, form, world.stack.rekor) {
        let said = run.last_words();
        ensure!(!run.success(), "signs what it could not: say so in the list of limits");
        ensure!(words.iter().any(|word| said.contains(word)), "fails, but not for {words:?}: {said}");
        return Ok((None, Shown::limit(said)));
    }
    run.ok()?;
    Ok((Some(Signed { signer, form, bundle, file, another }), "signed".into()))
}

fn statement(content: &str) -> Value {
    let digest = digest_of(content.as_bytes());
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "file", "digest": {"sha256": digest.trim_start_matches("sha256:")}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    })
}

/// Trusted root and signing config in one document, as sigstore-python takes them.
pub(crate) fn client_trust_config(world: &World) -> anyhow::Result<PathBuf> {
    let document = |path: &Path| anyhow::Ok(serde_json::from_slice::<Value>(&fs::read(path)?)?);
    let config = json!({
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": document(&world.stack.trusted_root)?,
        "signingConfig": document(&world.stack.signing_config)?,
    });
    world.write("client", "trust.json", config.to_string().as_bytes())
}

/// Our client, or the error that makes a cell skipped: it is no program that we install, so a folder of binaries may lack it.
fn client(bench: &Bench<'_>) -> anyhow::Result<Command> {
    let program = bench.programs.path(CLIENT);
    if !program.is_file() {
        let reason = format!("{} is not there", program.display());
        return Err(Missing { peer: "our conformance client".to_owned(), reason }.into());
    }
    Ok(process::command(&program, &bench.folder("client")?))
}

fn ours_signs(bench: &Bench<'_>, stack: &Stack, form: Form, input: &Path, bundle: &Path) -> anyhow::Result<Run> {
    let mut command = client(bench)?;
    command.args(["sign-bundle", "--identity-token", &stack.token()?, "--bundle"]).arg(bundle);
    command.arg("--trusted-root").arg(&stack.trusted_root).arg("--signing-config").arg(&stack.signing_config);
    if form == Form::Statement {
        command.arg("--in-toto");
    }
    command.arg(input);
    process::call(command)
}

/// What is asked about every bundle: file, identity, and why it must be refused where it must.
fn asked<'s>(world: &'s World, signed: &'s Signed) -> [(&'s Path, &'s str, Option<Refusal>); 3] {
    let identity = world.stack.identity.as_str();
    [
        (&signed.file, identity, None),
        (&signed.file, ANOTHER_IDENTITY, Some(Refusal::Identity)),
        (&signed.another, identity, Some(Refusal::Subject)),
    ]
}

fn note(bench: &Bench<'_>, world: &World, judge: Judge, all: &[Signed], section: &mut Section) {
    let mut answers = match judge {
        Judge::Library(library) => ask_library(bench, world, library, all).map_err(|error| format!("{error:#}")),
        _ => Ok(Vec::new()),
    };
    for signed in all {
        let own = match &mut answers {
            Err(error) => Err(anyhow::anyhow!("{error}")),
            Ok(_) if judge == Judge::Ours => ask_ours(bench, world, signed),
            Ok(answers) => Ok(answers.drain(..3).collect()),
        };
        section.cell(&row(world, signed.signer, signed.form), &judge.name(), || verdict(world, judge, signed, own?));
    }
}

fn ask_library(bench: &Bench<'_>, world: &World, library: Library, all: &[Signed]) -> anyhow::Result<Vec<Answer>> {
    let questions = all.iter().flat_map(|signed| {
        asked(world, signed).map(|(artifact, identity, _)| libraries::Question {
            about: About::Bundle { bundle: signed.bundle.clone(), artifact: artifact.to_path_buf() },
            identity: identity.to_owned(),
            issuer: world.stack.issuer.clone(),
        })
    });
    library.ask(bench, &world.stack.trusted_root, &questions.collect::<Vec<_>>())
}

/// A statement is judged by the program that verifies images, as if its file were one; a file by the conformance client.
fn ask_ours(bench: &Bench<'_>, world: &World, signed: &Signed) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for (file, identity, _) in asked(world, signed) {
        answers.push(match signed.form {
            Form::Statement => {
                let reference = format!("{NOWHERE}@{}", digest_of(&fs::read(file)?));
                judges::ours_given(bench, &world.stack, identity, &reference, &signed.bundle)?
            }
            Form::File => {
                let mut command = client(bench)?;
                command.args(["verify-bundle", "--certificate-identity", identity, "--certificate-oidc-issuer"]);
                command.arg(&world.stack.issuer).arg("--trusted-root").arg(&world.stack.trusted_root);
                command.arg("--bundle").arg(&signed.bundle).arg(file);
                client_answer(&process::call(command)?)?
            }
        });
    }
    Ok(answers)
}

/// The client tells a refusal by the code in the document on standard error.
fn client_answer(run: &Run) -> anyhow::Result<Answer> {
    if run.success() {
        return Ok(Answer::Accepted("exit 0".to_owned()));
    }
    let document: Value = serde_json::from_str(run.stderr.trim()).with_context(|| run.last_words())?;
    match document["code"].as_str() {
        Some(code) => Ok(Answer::Refused(code.to_owned())),
        None => bail!("no code: {document}"),
    }
}

fn verdict(world: &World, judge: Judge, signed: &Signed, answers: Vec<Answer>) -> anyhow::Result<Shown> {
    let limit = limits::of_file(judge, world.stack.rekor);
    let mut shown = None;
    for ((_, _, refusal), answer) in asked(world, signed).into_iter().zip(answers) {
        match (refusal, limit) {
            (Some(refusal), _) => {
                answer.refused_for(words(judge, signed.form, refusal)).with_context(|| format!("{refusal:?}"))?;
            }
            (None, Some(words)) => shown = Some(Shown::limit(answer.refused_for(words)?)),
            (None, None) => {
                answer.accepted()?;
                shown = Some("accepted; another identity and another file refused".into());
            }
        }
    }
    shown.context("nothing was asked")
}

/// What a judge says of a file, where that is not what it says of an image.
fn words(judge: Judge, form: Form, refusal: Refusal) -> &'static [&'static str] {
    match (judge, form, refusal) {
        (Judge::Ours, Form::File, Refusal::Identity) => &["signer-mismatch"],
        (Judge::Ours, Form::File, _) => &["artifact-mismatch"],
        (Judge::Library(Library::Python), Form::File, Refusal::Subject) => &["Bundle message digest mismatch"],
        (Judge::Library(Library::Js), Form::File, Refusal::Subject) => &["signature verification failed"],
        (Judge::Library(Library::Rust(_)), Form::File, Refusal::Subject) => &["signature verification failed"],
        _ => judge.words(refusal),
    }
}
