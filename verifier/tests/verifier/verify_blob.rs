//! `verify-blob`, run as a person runs it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_oci::http::HttpOptions;
use countersign_oci::{Digest, Secret};
use countersign_policy::{Cutoffs, GALLERY_INDEX_PREDICATE, GalleryIndexTerms};
use countersign_signer::blob::BlobSigner;
use countersign_signer::identity::IdentitySource;
use countersign_signer::services::{Services, SigningConfig};
use countersign_signer::signed_index;
use jiff::SignedDuration;
use sandbox::{GithubIdentity, Options, RekorVersion};
use serde_json::{Value, json};

use crate::blob_bundles::{BUNDLES, FILE, OTHER_FILE, PREDICATE, as_version, changed, statement};
use crate::program::{json as run, verifier};
use crate::time::budget;
use crate::world::{World, now};

/// A folder with a file, its trusted root and who must have signed it.
struct Folder {
    folder: tempfile::TempDir,
    issuer: String,
}

impl Folder {
    fn new(trusted_root: &str, issuer: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let this = Self { folder, issuer: issuer.to_owned() };
        this.write("trusted_root.json", trusted_root);
        this.write("file", FILE);
        this
    }

    fn of_bundles() -> Self {
        Self::new(&BUNDLES.trusted_root.to_string(), &BUNDLES.issuer)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.folder.path().join(name), bytes).unwrap();
        self.path(name)
    }

    /// Exit code, verdict and code of the error.
    fn verify(&self, arguments: &[&str]) -> (i32, String, String) {
        let (exit, document) = self.document(arguments);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (exit, text(&document["verdict"]), text(&document["error"]["code"]))
    }

    fn document(&self, arguments: &[&str]) -> (i32, Value) {
        let (identity, root) = (GithubIdentity::default().subject_alternative_name(), self.path("trusted_root.json"));
        let signer = ["--certificate-identity", &identity, "--certificate-oidc-issuer", &self.issuer];
        self.document_by(&[arguments, &signer, &["--trusted-root", &root]].concat())
    }

    fn document_by(&self, arguments: &[&str]) -> (i32, Value) {
        run(self.folder.path(), &[&["verify-blob"], arguments].concat(), &[])
    }
}

fn answer(exit: i32, verdict: &str, code: &str) -> (i32, String, String) {
    (exit, verdict.to_owned(), code.to_owned())
}

#[test]
fn a_file_is_verified_by_the_bundle_beside_it_and_says_who_signed() {
    for (version, logged) in [RekorVersion::V1, RekorVersion::V2].into_iter().zip(BUNDLES.both()) {
        let folder = Folder::of_bundles();
        let file = folder.path("file");
        assert_eq!(folder.verify(&[&file]), answer(3, "rejected", "unsigned"), "{version:?}");
        let bundle = folder.write("file.sigstore.json", logged.file.to_string());
        let (exit, document) = folder.document(&[&file]);
        assert_eq!((exit, &document["error"]), (0, &Value::Null), "{document}");
        assert_eq!(document["schema"], "countersign.dev/verify-blob/v1");
        assert_eq!(document["digest"], Digest::of(FILE).to_string());
        assert_eq!(document["bundle"], bundle);
        assert_eq!(document["content"], json!({"kind": "file"}));
        assert_eq!(document["signer"]["issuer"], BUNDLES.issuer);
        assert_eq!(document["signer"]["source_repository"], "https://github.com/octo/app");

        let digest = Digest::of(FILE).to_string();
        assert_eq!(folder.verify(&[&digest, "--bundle", &bundle]), answer(0, "verified", ""));
        assert_eq!(folder.verify(&[&digest]), answer(2, "undecided", "no-bundle"));
        let other = Digest::of(OTHER_FILE).to_string();
        assert_eq!(folder.verify(&[&other, "--bundle", &bundle]), answer(3, "rejected", "artifact-mismatch"));
        // What lies beside the file decides, not what else may be there.
        folder.write("file.bundle", "{}");
        assert_eq!(folder.verify(&[&file]), answer(0, "verified", ""));
        folder.write("file", OTHER_FILE);
        assert_eq!(folder.verify(&[&file]), answer(3, "rejected", "artifact-mismatch"));
        let both = format!("the bundle is for {digest}, the file is {other}: changed after it was signed");
        for bundle in [&bundle, &folder.write("statement.json", logged.statement.to_string())] {
            let (_, document) = folder.document(&[&file, "--bundle", bundle]);
            let error = &document["error"];
            assert!(error["message"].as_str().unwrap().starts_with(&both), "{error}");
            assert!(error["hint"].as_str().unwrap().contains("same release"), "{error}");
        }
        assert_eq!(folder.verify(&[&file, "--bundle", "absent"]), answer(2, "undecided", "bundle-unreadable"));
    }
}

#[test]
fn older_bundles_are_read_and_what_came_before_them_is_named() {
    let folder = Folder::of_bundles();
    let file = folder.path("file");
    for version in ["0.1", "0.2"] {
        folder.write("file.sigstore", as_version(&BUNDLES.v1.file, version).to_string());
        assert_eq!(folder.verify(&[&file]), answer(0, "verified", ""), "{version}");
    }
    let older = json!({"base64Signature": "MEUC", "cert": "LS0t", "rekorBundle": {"SignedEntryTimestamp": ""}});
    folder.write("file.sigstore", older.to_string());
    let (exit, document) = folder.document(&[&file]);
    assert_eq!((exit, document["error"]["code"].as_str()), (3, Some("older-cosign-format")));
    assert!(document["error"]["hint"].as_str().unwrap().contains("sign the file again"), "{document}");
    for (bundle, code) in [("{}", "bundle-version"), ("MEUCIQ==", "malformed-bundle"), ("", "malformed-bundle")] {
        folder.write("file.sigstore", bundle);
        assert_eq!(folder.verify(&[&file]), answer(3, "rejected", code), "{bundle}");
    }
    folder.write("file.sigstore", vec![b' '; (1 << 20) + 1]);
    assert_eq!(folder.verify(&[&file]), answer(2, "undecided", "bundle-too-large"));
}

#[test]
fn a_statement_counts_only_where_its_kind_was_asked_for() {
    let folder = Folder::of_bundles();
    let file = folder.path("file");
    folder.write("file.sigstore.json", BUNDLES.v2.statement.to_string());
    let (exit, document) = folder.document(&[&file]);
    assert_eq!((exit, document["error"]["code"].as_str()), (3, Some("not-a-signature")));
    assert!(document["error"]["hint"].as_str().unwrap().contains(PREDICATE));
    let (exit, document) = folder.document(&[&file, "--predicate-type", PREDICATE]);
    assert_eq!(exit, 0, "{document}");
    assert_eq!(document["content"]["predicate_type"], PREDICATE);
    let other = ["--predicate-type", "https://slsa.dev/provenance/v1"];
    assert_eq!(folder.verify(&[&[&*file], &other[..]].concat()), answer(3, "rejected", "not-a-signature"));
    folder.write("file.sigstore.json", BUNDLES.v2.file.to_string());
    assert_eq!(folder.verify(&[&[&*file], &other[..]].concat()), answer(3, "rejected", "not-a-signature"));
}

#[test]
fn a_key_verifies_what_it_signed_and_is_no_policy() {
    let folder = Folder::of_bundles();
    let (file, root) = (folder.path("file"), folder.path("trusted_root.json"));
    let key = folder.write("key.pub", &BUNDLES.key_pem);
    folder.write("file.sigstore.json", BUNDLES.v2.by_key.to_string());
    let by_key = |key: &str| {
        let (exit, document) = folder.document_by(&[&file, "--key", key, "--trusted-root", &root]);
        (exit, document["error"]["code"].as_str().unwrap_or_default().to_owned(), document["signer"]["kind"].clone())
    };
    assert_eq!(by_key(&key), (0, String::new(), json!("key")));
    assert_eq!(folder.verify(&[&file]), answer(3, "rejected", "managed-key-needed"));
    assert_eq!(folder.verify(&[&file, "--key", &key]), answer(2, "", "usage"), "a key and a signer");
    assert_eq!(by_key(&file).1, "managed-key-malformed");
    folder.write("file", OTHER_FILE);
    assert_eq!(by_key(&key).0, 3);
    folder.write("file.sigstore.json", BUNDLES.v2.file.to_string());
    assert_eq!(by_key(&key).1, "managed-key-unused");
    let (exit, document) = folder.document_by(&[&file, "--trusted-root", &root]);
    assert_eq!((exit, document["error"]["code"].as_str()), (2, Some("no-policy")));
    assert!(document["error"]["hint"].as_str().unwrap().contains("--key FILE"));
}

#[test]
fn the_gravest_of_several_files_decides_and_each_is_named() {
    let folder = Folder::of_bundles();
    let (file, other) = (folder.path("file"), folder.write("other", OTHER_FILE));
    folder.write("file.sigstore.json", BUNDLES.v2.file.to_string());
    folder.write("other.sigstore.json", BUNDLES.v2.other_file.to_string());
    let (exit, document) = folder.document(&[&file, &other]);
    assert_eq!((exit, document["schema"].as_str()), (0, Some("countersign.dev/verify-blob-batch/v1")));
    folder.write("other.sigstore.json", BUNDLES.v2.file.to_string());
    let (exit, document) = folder.document(&[&file, &other]);
    assert_eq!((exit, document["results"][0]["verdict"].as_str()), (3, Some("verified")));
    assert_eq!(document["results"][1]["error"]["code"], "artifact-mismatch");
    let (exit, document) = folder.document(&[&file, &folder.path("absent"), &other]);
    assert_eq!((exit, document["results"][1]["error"]["code"].as_str()), (2, Some("file-unreadable")));
    assert_eq!(folder.verify(&[&file, &other, "--bundle", "x"]), answer(2, "", "one-bundle"));
    assert_eq!(folder.verify(&["sha256:12", "--bundle", "x"]), answer(2, "undecided", "malformed-digest"));
}

#[test]
fn a_denial_shows_expected_and_found_and_nothing_moves_the_terminal() {
    let folder = Folder::of_bundles();
    let (file, root) = (folder.path("file"), folder.path("trusted_root.json"));
    let bundle = folder.write("a\u{1b}[2J.json", BUNDLES.v2.file.to_string());
    let other = "https://github.com/octo/other/.github/workflows/release.yml@refs/heads/main";
    let issuer = &BUNDLES.issuer;
    let arguments = ["verify-blob", &file, "--bundle", &bundle, "--trusted-root", &root];
    let signer = ["--certificate-identity", other, "--certificate-oidc-issuer", issuer];
    let output = verifier(folder.folder.path(), &[&arguments[..], &signer].concat(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.starts_with(&format!("rejected  {file} ({}): ", Digest::of(FILE))), "{text}");
    assert!(text.contains(&format!("expected {other}\n")) && text.contains("(identity-mismatch)"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let (exit, document) =
        folder.document(&[&file, "--bundle", &bundle, "--certificate-github-workflow-ref", "refs/heads/x"]);
    assert_eq!((exit, document["error"]["denials"][0]["found"].as_str()), (3, Some("refs/heads/main")));
    let forged = changed(&BUNDLES.v2.file, |bundle| {
        bundle["messageSignature"]["signature"] = BUNDLES.v2.other_file["messageSignature"]["signature"].clone();
    });
    let forged = folder.write("forged.json", forged.to_string());
    assert_eq!(folder.verify(&[&file, "--bundle", &forged]), answer(3, "rejected", "signature-invalid"));
    let policy = folder.write(
        "policy.yaml",
        format!("version: 1\nsigners:\n  - issuer: {issuer}\n    identity: {other}\nrequire: {{tag: true}}\n"),
    );
    let (exit, document) =
        folder.document_by(&[&file, "--bundle", &bundle, "--policy", &policy, "--trusted-root", &root]);
    assert_eq!((exit, document["error"]["code"].as_str()), (2, Some("policy-of-images")));
}

#[tokio::test]
async fn a_gallery_index_shows_what_it_says_of_itself_and_an_expired_one_is_rejected() {
    let world = World::start(Options::default());
    let config = SigningConfig::from_json(world.sandbox.signing_config(RekorVersion::V2), "the sandbox").unwrap();
    let signer = BlobSigner {
        services: Services::new(config.select(now()).unwrap(), &HttpOptions::default(), budget()).unwrap(),
        identity: IdentitySource::Token {
            origin: "the test",
            token: Secret::new(world.sandbox.github_token(&GithubIdentity::default())),
        },
        verifier: Arc::clone(&world.verifier),
    };
    let folder = Folder::new(world.sandbox.trusted_root(), &world.sandbox.oidc_issuer());
    let file = folder.path("file");
    let expires = now() + SignedDuration::from_hours(24);
    let mut cutoffs = Cutoffs::default();
    cutoffs.denied_digests.insert(Digest::of(b"withdrawn").to_string());
    let terms = GalleryIndexTerms::new(42, expires, cutoffs).unwrap();
    let good = signed_index::statement("index.yaml", FILE, &terms, now()).unwrap();
    folder.write("file.sigstore.json", signer.sign_statement(&good).await.unwrap().bundle.json);
    let (exit, document) = folder.document(&[&file]);
    assert_eq!(exit, 0, "{document}");
    assert_eq!(document["gallery_index"]["serial"], 42);
    assert_eq!(document["gallery_index"]["expires"], expires.to_string());
    assert_eq!(document["gallery_index"]["denied_digests"], json!([Digest::of(b"withdrawn")]));

    let predicate = |predicate: Value| {
        let mut statement: Value = serde_json::from_slice(&good).unwrap();
        statement["predicate"] = predicate;
        statement.to_string()
    };
    let second = |before: i64| (now() - SignedDuration::from_secs(before)).to_string();
    for (text, code) in [
        (predicate(json!({"serial": 42, "expires": second(1)})), "gallery-index-expired"),
        (predicate(json!({"serial": 0, "expires": second(-3600)})), "gallery-index-malformed"),
        (predicate(json!({"serial": 1, "expires": second(-3600), "more": 1})), "gallery-index-malformed"),
        (predicate(Value::Null), "gallery-index-malformed"),
        (statement(OTHER_FILE, "yes").to_string(), "subject-mismatch"),
    ] {
        folder.write("file.sigstore.json", signer.sign_statement(text.as_bytes()).await.unwrap().bundle.json);
        assert_eq!(folder.verify(&[&file]), answer(3, "rejected", code), "{text}");
    }
    assert_eq!(GALLERY_INDEX_PREDICATE, "https://countersign.dev/gallery-index/v1");
}

/// What real programs wrote over a statement about images: the command reads it too, by digest.
#[test]
fn what_cosign_wrote_is_verified_by_digest_offline() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/peer-bundles");
    let root = data.join("trusted_root.real.json");
    if !root.is_file() {
        println!("skipped: no bundles of real programs here");
        return;
    }
    let bundle = |name: &str| data.join(name).to_str().unwrap().to_owned();
    let signed = bundle("cosign-3.1.2-real.bundle.json");
    let (digest, identity, issuer) = claims(Path::new(&signed));
    let folder = tempfile::tempdir().unwrap();
    let judge = |bundle: &str, identity: &str| {
        let signer = ["--certificate-identity", identity, "--certificate-oidc-issuer", &issuer];
        let of = ["verify-blob", &digest, "--bundle", bundle, "--trusted-root", root.to_str().unwrap()];
        let (exit, document) = run(folder.path(), &[&of[..], &signer].concat(), &[]);
        (exit, document["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(judge(&signed, &identity), (0, String::new()));
    assert_eq!(judge(&signed, "somebody@example.com"), (3, "policy-denied".to_owned()));
    assert_eq!(judge(&bundle("cosign-2.4.1-referrer.layer.json"), &identity).0, 3);
}

/// The digest that a bundle is about, and who signed, as it claims.
fn claims(bundle: &Path) -> (String, String, String) {
    use base64::Engine as _;
    let decode = |value: &Value| base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap();
    let bundle: Value = serde_json::from_slice(&std::fs::read(bundle).unwrap()).unwrap();
    let statement: Value = serde_json::from_slice(&decode(&bundle["dsseEnvelope"]["payload"])).unwrap();
    let certificate = decode(&bundle["verificationMaterial"]["certificate"]["rawBytes"]);
    let (issuer, identity) = countersign_verifier::claimed_identity(&certificate).unwrap();
    let digest = format!("sha256:{}", statement["subject"][0]["digest"]["sha256"].as_str().unwrap());
    (digest, identity.unwrap(), issuer.unwrap())
}

#[test]
fn a_near_miss_is_shown_as_that_of_an_image_is_and_a_policy_of_images_says_what_to_do() {
    let folder = Folder::of_bundles();
    let (file, root) = (folder.path("file"), folder.path("trusted_root.json"));
    folder.write("file.sigstore.json", BUNDLES.v2.file.to_string());
    let identity = GithubIdentity::default().subject_alternative_name();
    let (issuer, other) = (&folder.issuer, identity.replace(".yml@", ".yaml@"));
    assert_ne!(identity, other);
    let policy = |identity: &str, more: &str| {
        let signer =
            |name: &str, issuer: &str| format!("  - {{name: {name}, issuer: {issuer}, identity: '{identity}'}}\n");
        let signers = [signer("far", "https://issuer.example"), signer("near", issuer)].concat();
        folder.write("policy.yaml", format!("version: 1\nsigners:\n{signers}{more}"))
    };
    let arguments = |policy: &str| [&file, "--policy", policy, "--trusted-root", &root].map(ToOwned::to_owned).to_vec();
    let of = |policy: &str| {
        let arguments = arguments(policy);
        folder.document_by(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(of(&policy(&identity, "")).0, 0);
    let (exit, document) = of(&policy(&other, ""));
    let error = &document["error"];
    assert_eq!((exit, &error["nearest"]), (3, &json!({"signer": "near", "differing": 1})), "{error}");
    let near = error["denials"].as_array().unwrap().iter().find(|denial| denial["signer"] == "near").unwrap();
    assert_eq!(near["first_difference"]["kind"], "extension", "{near}");
    let (exit, document) = of(&policy(&identity, "require: {tag: true}\n"));
    assert_eq!((exit, document["error"]["code"].as_str()), (2, Some("policy-of-images")), "{document}");
    assert!(document["error"]["hint"].as_str().unwrap().contains("use a policy without"), "{document}");
}
