//! Push, sign, look at the lists, verify: with ours and with cosign.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use sandbox::image::Manifest;
use serde_json::Value;

use super::super::http;
use super::super::judges::{self, Question};
use super::super::matrix::Section;
use super::super::process;
use super::super::signers::{self, Signer};
use super::super::verdict::Verdicts;
use super::Site;
use super::graft::graft;
use super::listing::Listing;
use super::push::{self, OCI_MANIFEST, Pushed};
use super::server::Keeps;

/// A referrer that one of ours says it attached.
pub(crate) struct Attached {
    pub(crate) digest: String,
    pub(crate) referrer: String,
}

pub(crate) fn run(site: &Site<'_>, section: &mut Section) {
    let column = site.registry.kind.peer();
    let host = &site.registry.host;
    let mut pushed = None;
    section.cell("an index with 2 platforms and 2 attestations is pushed", column, || {
        let images = ["app", "unsigned"].map(|name| push::push(host, &format!("octo/{name}"), push::image(name)));
        let [app, unsigned] = images;
        let (app, unsigned) = (app?, unsigned?);
        let digests = app.image.digests().len();
        ensure!(digests == 5, "{digests} digests");
        pushed = Some((app, unsigned));
        Ok(format!("{digests} digests"))
    });
    let Some((pushed, unsigned)) = &pushed else { return };
    section.cell("ours signs, and every digest has its referrer", column, || ours_signs(site, pushed));
    section.cell("ours verifies ours, by tag and by digest", column, || ours_verifies(site, pushed));
    section.cell("cosign verifies ours, by tag and by digest", column, || cosign_verifies(site, pushed));
    section.cell("ours refuses another identity", column, || ours_refuses_another(site, pushed));
    section.cell("cosign refuses another identity", column, || cosign_refuses_another(site, pushed));
    section.cell("ours refuses unsigned digests", column, || ours_refuses_unsigned(site, unsigned));
    section.cell("cosign refuses an unsigned digest", column, || cosign_refuses_unsigned(site, unsigned));
    // From here on the unsigned image has the signature of another.
    section.cell("ours refuses the signature of another image", column, || {
        graft(pushed, unsigned)?;
        let references = [unsigned.by_tag.clone(), unsigned.by_digest()[0].clone()];
        Verdicts::on(site.bench, site.stack, &references, &site.stack.identity)?.rejected("subject-mismatch")?;
        Ok("exit 3, subject-mismatch")
    });
    section.cell("cosign refuses the signature of another image", column, || {
        judges::cosign(site.bench, "cosign", &question(site, unsigned, unsigned.image.digest()))?
            .refused_for(&["does not match any digest"])
    });
    section.cell("cosign signs, ours and cosign verify", column, || cosign_signs(site));
    section.cell("signing again adds and replaces nothing", column, || signs_again(site, pushed));
}

fn ours_signs(site: &Site<'_>, pushed: &Pushed) -> anyhow::Result<String> {
    let run = signers::ours(site.bench, site.stack, &[&pushed.by_tag])?;
    let attached = attached(&run.stdout)?;
    let signed: BTreeSet<&str> = attached.iter().map(|one| one.digest.as_str()).collect();
    let digests = pushed.image.digests();
    ensure!(signed == digests.iter().map(String::as_str).collect(), "signed {signed:?} of {digests:?}");
    let keeps = site.registry.kind.keeps();
    for one in &attached {
        let listing = Listing::of(&pushed.repository, &one.digest)?;
        listing.check(&one.referrer, keeps).with_context(|| format!("referrers of {}", one.digest))?;
        ensure!(listing.digests().len() == 1, "{} has {:?}", one.digest, listing.digests());
    }
    names_subject(site, pushed, &attached[0])?;
    Ok(match keeps {
        Keeps::Api => "referrers API with types, annotations and OCI-Subject",
        Keeps::ApiWithoutTypes => "referrers API without types, annotations and OCI-Subject",
        Keeps::TagSchema => "no referrers API: tags with types and annotations",
    }
    .to_owned())
}

/// Puts a referrer again, to see whether the registry names the subject in its answer: that decides what a signer does.
fn names_subject(site: &Site<'_>, pushed: &Pushed, one: &Attached) -> anyhow::Result<()> {
    let host = &site.registry.host;
    let name = pushed.repository.split_once('/').context("a repository without host")?.1;
    let url = format!("http://{host}/v2/{name}/manifests/{}", one.referrer);
    let bytes = http::get(&url, &[("accept", OCI_MANIFEST)])?.body;
    let answer = push::put(host, name, &one.referrer, &Manifest::new(OCI_MANIFEST, bytes))?;
    let expected = Some(one.digest.as_str()).filter(|_| site.registry.kind.keeps() == Keeps::Api);
    let found = answer.header("oci-subject");
    ensure!(found == expected, "OCI-Subject is {found:?}");
    Ok(())
}

pub(crate) fn ours_verifies(site: &Site<'_>, pushed: &Pushed) -> anyhow::Result<String> {
    let references = pushed.references();
    Verdicts::on(site.bench, site.stack, &references, &site.stack.identity)?.verified()?;
    Ok(format!("{} references", references.len()))
}

pub(crate) fn cosign_verifies(site: &Site<'_>, pushed: &Pushed) -> anyhow::Result<String> {
    for digest in pushed.image.digests() {
        judges::cosign(site.bench, "cosign", &question(site, pushed, &digest))?.accepted().context(digest)?;
    }
    // By tag it is another way into cosign: it resolves the name itself.
    let mut command = process::command(&site.bench.toolbox.program("cosign", "cosign")?, &site.bench.folder("cosign")?);
    command.args(["verify", "--allow-http-registry", "--certificate-identity", &site.stack.identity]);
    command.args(["--certificate-oidc-issuer", &site.stack.issuer, "--trusted-root"]).arg(&site.stack.trusted_root);
    command.arg(&pushed.by_tag);
    process::call(command)?.ok().with_context(|| pushed.by_tag.clone())?;
    Ok(format!("{} references", pushed.references().len()))
}

fn wrong(site: &Site<'_>) -> anyhow::Result<String> {
    let wrong = site.stack.identity.replace("release.yml", "release.yaml");
    ensure!(wrong != site.stack.identity, "the identity has no file that can be changed: {wrong}");
    Ok(wrong)
}

pub(crate) fn ours_refuses_another(site: &Site<'_>, pushed: &Pushed) -> anyhow::Result<String> {
    Verdicts::on(site.bench, site.stack, &pushed.references(), &wrong(site)?)?.rejected("policy-denied")?;
    Ok("exit 3, policy-denied".to_owned())
}

pub(crate) fn cosign_refuses_another(site: &Site<'_>, pushed: &Pushed) -> anyhow::Result<String> {
    let question = Question { identity: &wrong(site)?, ..question(site, pushed, pushed.image.digest()) };
    judges::cosign(site.bench, "cosign", &question)?.refused_for(&["no matching CertificateIdentity found"])
}

fn ours_refuses_unsigned(site: &Site<'_>, pushed: &Pushed) -> anyhow::Result<String> {
    Verdicts::on(site.bench, site.stack, &pushed.references(), &site.stack.identity)?.rejected("unsigned")?;
    Ok("exit 3, unsigned".to_owned())
}

fn cosign_refuses_unsigned(site: &Site<'_>, pushed: &Pushed) -> anyhow::Result<String> {
    judges::cosign(site.bench, "cosign", &question(site, pushed, pushed.image.digest()))?
        .refused_for(&["no signatures found"])
}

fn cosign_signs(site: &Site<'_>) -> anyhow::Result<String> {
    let pushed = push::push(&site.registry.host, "octo/theirs", push::image("theirs"))?;
    Signer::Cosign.sign(site.bench, site.stack, &pushed.by_tag)?;
    ours_verifies(site, &pushed).context("ours")?;
    cosign_verifies(site, &pushed).context("cosign")
}

/// cosign signs what ours signed, and ours signs it again: all three stay.
fn signs_again(site: &Site<'_>, pushed: &Pushed) -> anyhow::Result<String> {
    let listed = || {
        let digests = pushed.image.digests();
        digests
            .iter()
            .map(|digest| Ok(Listing::of(&pushed.repository, digest)?.digests()))
            .collect::<anyhow::Result<Vec<_>>>()
    };
    let mut before = listed()?;
    let mut count = before[0].len();
    for signer in [Signer::Cosign, Signer::Ours("image")] {
        signer.sign(site.bench, site.stack, &pushed.by_tag)?;
        count += 1;
        let after = listed()?;
        for (before, after) in before.iter().zip(&after) {
            ensure!(before.is_subset(after), "{signer} replaced: {before:?} became {after:?}");
            ensure!(after.len() == count, "{signer}: {} referrers instead of {count}", after.len());
        }
        before = after;
    }
    ours_verifies(site, pushed)?;
    Ok(format!("{count} referrers of each digest"))
}

pub(crate) fn question<'q>(site: &'q Site<'_>, pushed: &'q Pushed, digest: &'q str) -> Question<'q> {
    Question { stack: site.stack, repository: &pushed.repository, digest, identity: &site.stack.identity }
}

/// What one of ours says it attached, from its document.
pub(crate) fn attached(document: &str) -> anyhow::Result<Vec<Attached>> {
    let document: Value = serde_json::from_str(document).context("the signer wrote no document")?;
    let statements = document["statements"].as_array().context("a document without statements")?;
    let subjects = statements.iter().flat_map(|one| one["subjects"].as_array().into_iter().flatten());
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned).context("a subject without digest or referrer");
    subjects.map(|one| Ok(Attached { digest: text(&one["digest"])?, referrer: text(&one["referrer"])? })).collect()
}
