//! What was signed, verified by everybody: each digest, and what each must refuse.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};

use super::limits;
use super::world::{Pushed, World};
use crate::peers::Bench;
use crate::peers::judges::{self, Answer};
use crate::peers::libraries::{self, About, Library};
use crate::peers::matrix::{Section, Shown};
use crate::peers::signers::{self, Signer};

/// Somebody who has to be refused: another workflow of the same repository.
pub(crate) const ANOTHER_IDENTITY: &str = "https://github.com/octo/app/.github/workflows/nightly.yml@refs/heads/main";

/// What the crate sigstore says of a log entry that it takes for another bundle's.
pub(crate) const RUST_INCONSISTENT: &str = "transparency materials are inconsistent";

/// What the crate's module `cosign` says when the first subject is not the image.
pub(crate) const RUST_ONE_SUBJECT: &str = "does not match source image digest";

/// A verifier: it reads the registry itself, or is given the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judge {
    Ours,
    /// A cosign, by its name in the list of peers.
    Cosign(&'static str),
    Library(Library),
}

/// Why a verifier has to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The bundle was made by somebody else.
    Identity,
    /// There is no bundle.
    Unsigned,
    /// The bundle is that of another image.
    Subject,
}

/// A row: what is asked, and how it must come out.
struct Row {
    name: String,
    signer: Signer,
    /// Whether it is about the first subject of the statement.
    is_index: bool,
    refusal: Option<Refusal>,
    cases: Vec<Case>,
}

/// One digest that every verifier is asked about.
struct Case {
    repository: String,
    digest: String,
    identity: String,
    /// Bundle and manifest, for those who read no registry. `None` where there is no bundle to give them.
    files: Option<(PathBuf, PathBuf)>,
}

impl Judge {
    /// The column.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Ours => "ours".to_owned(),
            Self::Cosign(peer) => peer.to_owned(),
            Self::Library(library) => library.to_string(),
        }
    }

    /// Whether it finds signatures itself. The others are given them.
    pub(crate) fn reads_registries(self) -> bool {
        !matches!(self, Self::Library(Library::Python | Library::Js | Library::Rust(_)))
    }

    /// Fails where the judge is not installed.
    pub(crate) fn is_there(self, bench: &Bench<'_>) -> anyhow::Result<()> {
        match self {
            Self::Ours => Ok(()),
            Self::Cosign(peer) => bench.toolbox.folder(peer).map(|_| ()),
            Self::Library(library) => library.judge(bench).map(|_| ()),
        }
    }

    /// What the judge says when it refuses for this reason, and only then.
    pub(crate) fn words(self, refusal: Refusal) -> &'static [&'static str] {
        match (self, refusal) {
            (Self::Ours, Refusal::Identity) => &["identity-mismatch"],
            (Self::Ours, Refusal::Unsigned) => &["unsigned"],
            (Self::Ours, Refusal::Subject) => &["subject-mismatch"],
            (Self::Cosign(_), Refusal::Identity) => &["no matching CertificateIdentity found"],
            (Self::Cosign("cosign"), Refusal::Unsigned) => &["no signatures found"],
            (Self::Cosign(_), Refusal::Unsigned) => &["no valid bundles exist in registry"],
            (Self::Cosign(_), Refusal::Subject) => &["provided artifact digest does not match any digest in statement"],
            (Self::Library(Library::Python), Refusal::Identity) => &["Certificate's SANs do not match"],
            (Self::Library(Library::Js), Refusal::Identity) => &["certificate identity error"],
            (Self::Library(Library::Python | Library::Js), _) => &["no subject of the statement has the digest"],
            (Self::Library(Library::Rust(_)), Refusal::Identity) => &["certificate's SubjectAltName does not match"],
            // It found the signature, and it is nobody's whom the constraint admits.
            (Self::Library(Library::RustCosign(_)), Refusal::Identity) => &["signatures: 1; "],
            (Self::Library(Library::RustCosign(_)), Refusal::Unsigned) => &["signatures: 0; "],
            (Self::Library(Library::RustCosign(_)), Refusal::Subject) => &[RUST_ONE_SUBJECT],
            // 0.14 has no words of its own for another subject.
            (Self::Library(Library::Rust(version)), _) if version.starts_with("0.14") => &[RUST_INCONSISTENT],
            (Self::Library(Library::Rust(_)), _) => &["no in-toto statement subject matches"],
        }
    }

    /// Asks about every case of every row. Who reads the registry is asked of all references of a row at once.
    fn ask(self, bench: &Bench<'_>, world: &World, rows: &[&Row]) -> Vec<Vec<anyhow::Result<Answer>>> {
        match self {
            Self::Library(library) => {
                let cases: Vec<&Case> = rows.iter().flat_map(|row| &row.cases).collect();
                let answers = ask_library(library, bench, world, &cases);
                let mut answers =
                    answers.map_or_else(|error| failed(&error, cases.len()), |all| all.into_iter().map(Ok).collect());
                rows.iter().map(|row| answers.drain(..row.cases.len()).collect()).collect()
            }
            Self::Ours => rows
                .iter()
                .map(|row| vec![judges::ours_of(bench, &world.stack, row.identity(), &row.references())])
                .collect(),
            Self::Cosign(peer) => rows
                .iter()
                .map(|row| vec![judges::cosign_of(bench, peer, &world.stack, row.identity(), &row.references())])
                .collect(),
        }
    }
}

impl Case {
    fn reference(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }
}

impl Row {
    fn references(&self) -> Vec<String> {
        self.cases.iter().map(Case::reference).collect()
    }

    fn identity(&self) -> &str {
        self.cases.first().map_or("", |case| &case.identity)
    }
}

fn ask_library(library: Library, bench: &Bench<'_>, world: &World, cases: &[&Case]) -> anyhow::Result<Vec<Answer>> {
    let question = |case: &&Case| {
        let about = if Judge::Library(library).reads_registries() {
            About::Image(case.reference())
        } else {
            let (bundle, artifact) = case.files.clone().context("a library needs files")?;
            About::Bundle { bundle, artifact }
        };
        let (identity, issuer) = (case.identity.clone(), world.stack.issuer.clone());
        Ok(libraries::Question { about, identity, issuer })
    };
    let questions = cases.iter().map(question).collect::<anyhow::Result<Vec<_>>>()?;
    library.ask(bench, &world.stack.trusted_root, &questions)
}

fn failed(error: &anyhow::Error, number: usize) -> Vec<anyhow::Result<Answer>> {
    (0..number).map(|_| Err(anyhow!("{error:#}"))).collect()
}

/// Lets a signer sign and every judge verify, and notes what each says.
pub(crate) fn run(bench: &Bench<'_>, world: &World, judges: &[Judge], signer: Signer, section: &mut Section) {
    run_all(bench, world, judges, &[signer], section);
}

/// The same with several signers: every library is asked once about everything.
pub(crate) fn run_all(bench: &Bench<'_>, world: &World, judges: &[Judge], signers: &[Signer], section: &mut Section) {
    let mut all = Vec::new();
    for signer in signers {
        match sign(bench, world, *signer).and_then(|images| rows(world, *signer, &images)) {
            Ok(rows) => all.extend(rows),
            Err(error) => section.cell(&signer.to_string(), "signs", || Err::<Shown, _>(error)),
        }
    }
    for judge in judges {
        note(bench, world, *judge, &all, section);
    }
}

/// What one call of a signer signed, and an image beside it that was not signed, and one with a copied signature.
struct Images {
    signed: Vec<Pushed>,
    unsigned: Pushed,
    copied: Pushed,
}

fn sign(bench: &Bench<'_>, world: &World, signer: Signer) -> anyhow::Result<Images> {
    let name = match signer {
        Signer::Ours(form) => format!("octo/ours-{form}"),
        Signer::Cosign => "octo/cosign".to_owned(),
    };
    let mut signed = vec![world.push(&format!("{name}:v1"))];
    if signer == Signer::Ours("release") {
        // What makes this form another one than `image`: a second image, in another repository.
        signed.push(world.push_single(&format!("{name}-small:v1")));
        let references: Vec<String> = signed.iter().map(Pushed::pinned).collect();
        let mut arguments = vec!["--statement", "release"];
        arguments.extend(references.iter().map(String::as_str));
        signers::ours(bench, &world.stack, &arguments)?;
    } else {
        signer.sign(bench, &world.stack, &signed[0].pinned())?;
    }
    let copied = world.push(&format!("{name}:copied"));
    world.copy_signature(&signed[0], &copied)?;
    Ok(Images { signed, unsigned: world.push(&format!("{name}:unsigned")), copied })
}

fn rows(world: &World, signer: Signer, images: &Images) -> anyhow::Result<Vec<Row>> {
    let first = &images.signed[0];
    let index = first.image.digest();
    let mut later = Vec::new();
    for pushed in &images.signed {
        for digest in pushed.image.digests().iter().filter(|digest| *digest != index) {
            later.push(case(world, pushed, digest, Some((pushed, digest)))?);
        }
    }
    let mut by_another = case(world, first, index, Some((first, index)))?;
    by_another.identity = ANOTHER_IDENTITY.to_owned();
    let unsigned = case(world, &images.unsigned, images.unsigned.image.digest(), None)?;
    let copied = case(world, &images.copied, images.copied.image.digest(), Some((first, index)))?;
    let row = |name: &str, is_index, refusal, cases| {
        let name = format!("{signer}: {name}");
        Row { name, signer, is_index, refusal, cases }
    };
    Ok(vec![
        row("the index", true, None, vec![case(world, first, index, Some((first, index)))?]),
        row(&format!("the {} others", later.len()), false, None, later),
        row("refused: by another", true, Some(Refusal::Identity), vec![by_another]),
        row("refused: unsigned", true, Some(Refusal::Unsigned), vec![unsigned]),
        row("refused: copied bundle", true, Some(Refusal::Subject), vec![copied]),
    ])
}

/// A digest, and whose bundle a verifier gets that reads no registry.
fn case(world: &World, pushed: &Pushed, digest: &str, bundle_of: Option<(&Pushed, &str)>) -> anyhow::Result<Case> {
    let files = match bundle_of {
        Some((pushed_with, digest_with)) => {
            Some((world.bundle_file(pushed_with, digest_with)?, world.manifest_file(pushed, digest)?))
        }
        None => None,
    };
    Ok(Case {
        repository: pushed.repository.clone(),
        digest: digest.to_owned(),
        identity: world.stack.identity.clone(),
        files,
    })
}

fn note(bench: &Bench<'_>, world: &World, judge: Judge, rows: &[Row], section: &mut Section) {
    let is_asked = |row: &&Row| match row.refusal {
        Some(Refusal::Unsigned) => judge.reads_registries(),
        // It looks at the identity only where it has accepted everything else.
        Some(Refusal::Identity) if matches!(judge, Judge::Library(Library::RustCosign(_))) => {
            limits::of(judge, row.signer, world.stack.rekor, row.is_index).is_none()
        }
        // Words that it has for good signatures too say nothing.
        Some(refusal) => limits::of(judge, row.signer, world.stack.rekor, row.is_index) != Some(judge.words(refusal)),
        None => true,
    };
    let asked: Vec<&Row> = rows.iter().filter(is_asked).collect();
    let answers = judge.ask(bench, world, &asked);
    for (row, answers) in asked.into_iter().zip(answers) {
        section.cell(&row.name, &judge.name(), || verdict(world, judge, row, answers));
    }
}

/// Compares what a judge said of a row with how it must come out.
fn verdict(world: &World, judge: Judge, row: &Row, answers: Vec<anyhow::Result<Answer>>) -> anyhow::Result<Shown> {
    let limit = limits::of(judge, row.signer, world.stack.rekor, row.is_index).filter(|_| row.refusal.is_none());
    let mut texts = Vec::new();
    for answer in answers {
        texts.push(match (row.refusal, limit) {
            (Some(refusal), _) => answer?.refused_for(judge.words(refusal))?,
            (None, Some(words)) => answer?.refused_for(words).map(|_| words.join(", "))?,
            (None, None) => answer?.accepted()?,
        });
    }
    let number = row.cases.len();
    let text = texts.first().cloned().context("nothing was asked")?;
    let text = if number == 1 { text } else { format!("{text} ({number} digests)") };
    Ok(if limit.is_some() { Shown::limit(text) } else { text.into() })
}
