//! `publish`: what the builds of the platforms pushed becomes one release, signed before any tag leads to it.

mod digests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use countersign_cli::flags::{self, OutputFlags, RegistryFlags};
use countersign_cli::progress::Progress;
use countersign_cli::{Exit, Failure, program};
use countersign_oci::index::Platform;
use countersign_oci::{Digest, Tag};
use countersign_signer::publish::{self, Child, HoldPrefix, PublishFailure, PublishReport, PublishRequest};

use super::record::{self, RecordFlags};
use super::report::github::GithubFlags;
use super::report::publish::PublishView;
use super::setup::{self, ConsumerPolicy, SetupFlags};
use super::sign::ContentFlags;
use super::verify_command::consumer_flags;

const EXAMPLES: &str = "\
Examples:
  countersign-signer publish --digests digests/ --from quay.io/example/ci-cache \\
    --repository quay.io/example/app --repository docker.io/example/app --tag v1 --tag latest \\
    --expect-platforms linux/amd64,linux/arm64 --self-verify policy.yaml
  countersign-signer publish --repository ghcr.io/example/app --tag v1 sha256:4413... sha256:7fd1...
  countersign-signer publish --digests digests/ --repository ghcr.io/example/app --tag v1 --dry-run
In --digests DIR each file is named by the 64 hexadecimal digits of a digest; what is in it does not matter:
  touch \"digests/${digest#sha256:}\"
A release that was interrupted goes on with the same flags and --resume.

Environment: as of `sign`, which signs what was pushed and tagged by others.

Exit codes: 0 every tag leads to the signed release, 1 a bug, 2 usage or configuration, 3 a consumer would reject it (no tag was
moved), 4 could not finish, safe to run again; a tag that stayed is named.";

/// Publishes a release: builds its image index, signs it, and only then moves the tags.
///
/// The index is pushed by digest to every repository, with everything in it, signed once for all of them, and verified through each
/// registry as consumers will. Whatever fails before leaves every tag where it was, in every registry.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PublishArguments {
    /// What the builds pushed: a digest, or REPOSITORY@DIGEST. An index, as builds with provenance push it, stands for what it lists.
    #[arg(value_name = "DIGEST")]
    children: Vec<String>,

    /// A folder with one file for each digest, named by its 64 hexadecimal digits, and nothing else.
    #[arg(long, value_name = "DIR")]
    digests: Option<PathBuf>,

    /// Where the builds pushed to, if not to the repositories themselves. What lies elsewhere is mounted or copied.
    #[arg(long, value_name = "REPO")]
    from: Vec<String>,

    /// Where the release goes, as often as there are registries.
    #[arg(long, value_name = "REPO", required = true)]
    repository: Vec<String>,

    /// A tag that will lead to the release, the same in every repository.
    #[arg(long, value_name = "TAG", required = true)]
    tag: Vec<String>,

    /// The platforms that there have to be, no fewer and no more, such as linux/amd64,linux/arm64.
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    expect_platforms: Vec<Platform>,

    /// An annotation of the image index itself.
    #[arg(long, value_name = "KEY=VALUE")]
    index_annotation: Vec<String>,

    /// Keeps every manifest under a tag that begins with PREFIX until the release is tagged, for registries that delete what has no tag.
    /// These tags are taken away at the end.
    #[arg(long, value_name = "PREFIX")]
    hold_tag: Option<String>,

    /// Says what would be published; asks for no certificate, writes nothing.
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    content: ContentFlags,

    #[command(flatten)]
    record: RecordFlags,

    #[command(flatten)]
    setup: SetupFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    output: OutputFlags,

    #[command(flatten)]
    github: GithubFlags,
}

pub(crate) async fn run(arguments: PublishArguments) -> Exit {
    program::log(arguments.output.verbose);
    let mut view = PublishView {
        format: arguments.output.output,
        consumer_flags: consumer_flags(&arguments.setup.trust, &arguments.registry, arguments.content.signatures()),
        github: None,
    };
    match arguments.github.files() {
        Ok(files) => view.github = files,
        Err(failure) => return view.show_failure(failure),
    }
    let progress = Progress::new(arguments.output.quiet);
    let outcome = arguments.publish(&progress).await;
    progress.finish();
    match outcome {
        Ok(done) => view.show(&done),
        Err(failure) => view.show_failure(failure),
    }
}

impl PublishArguments {
    async fn publish(&self, progress: &Progress) -> Result<Result<PublishReport, PublishFailure>, Failure> {
        let policy = self.content.policy()?;
        let request = self.request(policy.as_ref())?;
        let budget = self.setup.budget();
        let first = request.repositories.first().map(|repository| repository.registry());
        let registry = setup::registry(&self.registry, first, &budget)?;
        if self.dry_run {
            progress.say("reading the images");
            return Ok(publish::plan(&registry, &request).await);
        }
        let setup = self.setup.load(&self.registry, policy.as_ref(), &budget, progress).await?;
        let signer = setup.signer(registry);
        let state = self.record.open(request.fingerprint())?;
        progress.say(format!("publishing to {} repositories", request.repositories.len()));
        let outcome = signer.publish(&request, state.as_ref()).await;
        if outcome.is_ok() {
            record::finish(state);
        }
        Ok(outcome)
    }

    fn request(&self, policy: Option<&ConsumerPolicy>) -> Result<PublishRequest, Failure> {
        let repositories = self.repository.iter().map(|text| flags::repository(text)).collect::<Result<_, _>>()?;
        let tags = self.tag.iter().map(|text| tag(text)).collect::<Result<_, _>>()?;
        let mut request = PublishRequest::new(self.children()?, repositories, tags);
        request.sources = self.from.iter().map(|text| flags::repository(text)).collect::<Result<_, _>>()?;
        request.expected_platforms = self.expect_platforms.iter().cloned().collect::<BTreeSet<_>>();
        request.index_annotations = pairs(&self.index_annotation)?;
        request.form = self.content.statement;
        request.annotations = self.content.annotations()?;
        request.hold = self.hold_tag.as_deref().map(hold).transpose()?;
        request.self_verify = policy.map(|policy| policy.policy.clone());
        request.signature_repository = self.content.signature_repository()?;
        request.force = self.record.force;
        Ok(request)
    }

    fn children(&self) -> Result<Vec<Child>, Failure> {
        let mut children = self.children.iter().map(|text| child(text)).collect::<Result<Vec<_>, _>>()?;
        if let Some(folder) = &self.digests {
            let found = digests::read(folder)?;
            children.extend(found.into_iter().map(|digest| Child { digest, repository: None }));
        }
        Ok(children)
    }
}

fn child(text: &str) -> Result<Child, Failure> {
    let malformed = || {
        let message = format!("{text:?} is no digest");
        let hint = "write sha256: and 64 hexadecimal digits in lower case, or REPOSITORY@sha256:...".to_owned();
        Failure::usage("malformed-digest", message, Some(hint))
    };
    let (place, digest) = match text.rsplit_once('@') {
        Some((place, digest)) => (Some(flags::repository(place)?), digest),
        None => (None, text),
    };
    Ok(Child { digest: digest.parse::<Digest>().map_err(|_| malformed())?, repository: place })
}

fn tag(text: &str) -> Result<Tag, Failure> {
    text.parse::<Tag>().map_err(|_| {
        let hint =
            "a tag is up to 128 letters, digits, `_`, `.` and `-`, and does not begin with `.` or `-`".to_owned();
        Failure::usage("malformed-tag", format!("{text:?} is not a tag"), Some(hint))
    })
}

fn hold(text: &str) -> Result<HoldPrefix, Failure> {
    HoldPrefix::parse(text).ok_or_else(|| {
        let hint = "it is the beginning of a tag, such as `hold`".to_owned();
        Failure::usage("malformed-flag", format!("--hold-tag {text:?} begins no tag"), Some(hint))
    })
}

fn pairs(texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut pairs = BTreeMap::new();
    for text in texts {
        let malformed = |what: &str| {
            let hint = "write KEY=VALUE, each key once".to_owned();
            Failure::usage("malformed-flag", format!("--index-annotation {text:?}: {what}"), Some(hint))
        };
        let (key, value) = text.split_once('=').ok_or_else(|| malformed("there is no ="))?;
        if key.is_empty() || text.chars().any(char::is_control) {
            return Err(malformed("no key, or one that cannot be shown"));
        }
        if pairs.insert(key.to_owned(), value.to_owned()).is_some_and(|first| first != value) {
            return Err(malformed("the key has another value already"));
        }
    }
    Ok(pairs)
}
