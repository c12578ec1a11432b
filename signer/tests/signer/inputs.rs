//! What release tools write, read as references. The documents are shaped as the tools write them today.

use countersign_oci::Digest;
use countersign_signer::inputs::{InputError, Inputs, MAX_BYTES, MAX_LINES, Origin};
use serde_json::{Value, json};

use crate::program::{Job, json as printed};
use crate::world::World;

fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

/// What is read from one source.
fn read(take: impl FnOnce(&mut Inputs, &Origin) -> Result<(), InputError>) -> Result<Vec<String>, InputError> {
    let mut inputs = Inputs::default();
    take(&mut inputs, &Origin::new("file"))?;
    texts(inputs)
}

fn texts(inputs: Inputs) -> Result<Vec<String>, InputError> {
    Ok(inputs.finish()?.iter().map(ToString::to_string).collect())
}

fn lines(text: &str) -> Result<Vec<String>, InputError> {
    read(|inputs, origin| inputs.lines(origin, text.as_bytes()))
}

fn digests(text: &str) -> Result<Vec<String>, InputError> {
    read(|inputs, origin| inputs.digests(origin, text.as_bytes()))
}

fn metadata(document: &Value) -> Result<Vec<String>, InputError> {
    read(|inputs, origin| inputs.metadata(origin, document.to_string().as_bytes()))
}

fn tags(document: &Value) -> Result<Vec<String>, InputError> {
    read(|inputs, origin| inputs.tags(origin, &document.to_string(), digest("a")))
}

fn code(outcome: Result<Vec<String>, InputError>) -> &'static str {
    outcome.unwrap_err().code()
}

fn build(name: &str, digest: Digest) -> Value {
    json!({
        "buildx.build.ref": "builder/builder0/abc",
        "buildx.build.provenance": {"materials": [{"uri": "pkg:docker/alpine", "digest": {"sha256": "00"}}]},
        "containerimage.config.digest": digest.to_string(),
        "containerimage.descriptor": {"mediaType": "application/vnd.oci.image.index.v1+json", "size": 1},
        "containerimage.digest": digest.to_string(),
        "image.name": name,
    })
}

#[test]
fn a_list_of_references_may_have_blank_lines_and_comments() {
    let (a, b) = (digest("a"), digest("b"));
    let text = format!(
        "\u{feff}# ko wrote this\r\nghcr.io/octo/app@{a}\r\n\r\n  ghcr.io/octo/app:v1@{b}  \n# end\nindex.docker.io/app"
    );
    let expected = [
        format!("ghcr.io/octo/app@{a}"),
        format!("ghcr.io/octo/app:v1@{b}"),
        "docker.io/library/app:latest".to_owned(),
    ];
    assert_eq!(lines(&text).unwrap(), expected);
}

#[test]
fn a_line_that_is_no_reference_is_named_with_its_number() {
    let error = lines("# first\nghcr.io/octo/app:v1\n\nghcr.io/octo/app v1\n").unwrap_err();
    assert_eq!(error.code(), "malformed-reference");
    assert_eq!(error.to_string(), "file, line 4: \"ghcr.io/octo/app v1\" is not a reference");
    assert_eq!(code(lines("ghcr.io/octo/app:v1 # trailing")), "malformed-reference");
    let error = lines("a\u{1b}[2J").unwrap_err().to_string();
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

#[test]
fn a_source_that_names_nothing_is_an_error_even_beside_others() {
    assert_eq!(code(lines("")), "nothing-named");
    assert_eq!(code(lines("# nothing was pushed\n\n")), "nothing-named");
    assert_eq!(code(digests("\n")), "nothing-named");
    assert_eq!(code(metadata(&json!({}))), "nothing-named");
    assert_eq!(code(metadata(&json!({"buildx.build.ref": "x", "test": {"buildx.build.ref": "y"}}))), "nothing-named");
    assert_eq!(code(tags(&json!({"tags": []}))), "nothing-named");
    let mut inputs = Inputs::default();
    inputs.reference(&Origin::new("argument"), "ghcr.io/octo/app:v1").unwrap();
    assert!(inputs.lines(&Origin::new("file"), b"").is_err());
}

#[test]
fn goreleasers_digests_have_no_algorithm() {
    let (a, b) = (digest("a"), digest("b"));
    let text = format!("{} ghcr.io/octo/app:v1\n{}  ghcr.io/octo/app\n{b} octo/app:v2\n", a.hex(), b.hex());
    let expected =
        [format!("ghcr.io/octo/app:v1@{a}"), format!("ghcr.io/octo/app@{b}"), format!("docker.io/octo/app:v2@{b}")];
    assert_eq!(digests(&text).unwrap(), expected);
}

#[test]
fn a_line_without_digest_or_name_is_refused() {
    let a = digest("a").hex();
    for line in [
        " ghcr.io/octo/app:v1".to_owned(),
        "ghcr.io/octo/app:v1".to_owned(),
        format!("ghcr.io/octo/app:v1 {a}"),
        format!("{} ghcr.io/octo/app:v1", a.to_uppercase()),
        format!("{} ghcr.io/octo/app:v1", &a[1..]),
        format!("{a}{a} ghcr.io/octo/app:v1"),
        format!("sha512:{a}{a} ghcr.io/octo/app:v1"),
        a.clone(),
    ] {
        assert_eq!(code(digests(&line)), "digest-line-malformed", "{line}");
    }
    assert_eq!(code(digests(&format!("{a} a b"))), "malformed-reference");
    assert_eq!(code(digests(&format!("{a} ghcr.io/octo/app@{}", digest("b")))), "digests-differ");
    assert_eq!(digests(&format!("{a} ghcr.io/octo/app@sha256:{a}")).unwrap().len(), 1);
}

#[test]
fn the_metadata_of_a_build_names_each_name_with_the_digest() {
    let a = digest("a");
    let expected = [format!("docker.io/octo/app:v1@{a}"), format!("ghcr.io/octo/app:v1@{a}")];
    assert_eq!(metadata(&build("docker.io/octo/app:v1,ghcr.io/octo/app:v1", a)).unwrap(), expected);
    // Pushed by digest: `latest` was never meant.
    assert_eq!(metadata(&build("ghcr.io/octo/app", a)).unwrap(), [format!("ghcr.io/octo/app@{a}")]);
}

#[test]
fn the_metadata_of_bake_has_an_object_for_each_target() {
    let (a, b) = (digest("a"), digest("b"));
    let document = json!({
        "buildx.build.warnings": [{"vertex": "sha256:00", "level": 1}],
        "db": build("ghcr.io/octo/db:v1", a),
        "webapp-dev": build("ghcr.io/octo/web:v1", b),
        "test": {"buildx.build.ref": "builder/builder0/def"},
    });
    let expected = [format!("ghcr.io/octo/db:v1@{a}"), format!("ghcr.io/octo/web:v1@{b}")];
    assert_eq!(metadata(&document).unwrap(), expected);
}

#[test]
fn half_a_build_is_refused_and_the_target_is_named() {
    let mut document = json!({"db": build("ghcr.io/octo/db:v1", digest("a"))});
    document["db"].as_object_mut().unwrap().remove("image.name");
    let error = metadata(&document).unwrap_err();
    assert_eq!(error.to_string(), "file, target \"db\": image.name is missing");
    document["db"]["image.name"] = json!(" , ");
    assert_eq!(code(metadata(&document)), "metadata-incomplete");
    let error = metadata(&json!({"image.name": "ghcr.io/octo/app:v1"})).unwrap_err();
    assert_eq!(error.to_string(), "file: containerimage.digest is missing");
    let mut document = build("ghcr.io/octo/app:v1", digest("a"));
    document["containerimage.digest"] = json!("sha256:00");
    assert_eq!(code(metadata(&document)), "metadata-digest");
    document["containerimage.digest"] = json!(7);
    assert_eq!(code(metadata(&document)), "metadata-malformed");
}

#[test]
fn what_is_no_metadata_is_refused() {
    let a = digest("a");
    let twice = format!(r#"{{"image.name":"a/b:v1","containerimage.digest":"{a}","containerimage.digest":"{a}"}}"#);
    for text in [twice.as_str(), "", "[]", "null", "{", r#"{"db": 1}"#, r#"{"db": "x"}"#, "ghcr.io/octo/app:v1"] {
        assert_eq!(
            code(read(|inputs, origin| inputs.metadata(origin, text.as_bytes()))),
            "metadata-malformed",
            "{text}"
        );
    }
    assert_eq!(code(metadata(&build("not a reference", a))), "malformed-reference");
}

#[test]
fn deep_and_wide_metadata_is_passed_over_without_being_held() {
    let a = digest("a");
    let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
    let wide = "{},".repeat(1 << 20);
    let text = format!(
        r#"{{"buildx.build.provenance":{deep},"buildx.build.warnings":[{wide}0],"image.name":"a/b:v1","containerimage.digest":"{a}"}}"#
    );
    let named = read(|inputs, origin| inputs.metadata(origin, text.as_bytes()));
    assert_eq!(named.unwrap(), [format!("docker.io/a/b:v1@{a}")]);
}

#[test]
fn the_tags_of_the_metadata_action_are_for_the_digest_that_was_built() {
    let a = digest("a");
    let document = json!({
        "tags": ["ghcr.io/octo/app:v1", "ghcr.io/octo/app:latest", "quay.io/octo/app:v1"],
        "labels": {"org.opencontainers.image.title": "app"},
        "annotations": [],
    });
    let expected = [
        format!("ghcr.io/octo/app:v1@{a}"),
        format!("ghcr.io/octo/app:latest@{a}"),
        format!("quay.io/octo/app:v1@{a}"),
    ];
    assert_eq!(tags(&document).unwrap(), expected);
    assert_eq!(code(tags(&json!({"labels": {}}))), "metadata-malformed");
    assert_eq!(code(tags(&json!({"tags": "v1"}))), "metadata-malformed");
    assert_eq!(code(tags(&json!({"tags": ["not a reference"]}))), "malformed-reference");
}

#[test]
fn what_is_named_twice_is_signed_once_and_the_fuller_name_counts() {
    let (a, b) = (digest("a"), digest("b"));
    let text = format!(
        "ghcr.io/octo/app:v1\nghcr.io/octo/app@{a}\nghcr.io/octo/app:v1@{a}\nGHCR.io/octo/app:v1@{a}\n\
         ghcr.io/octo/app:latest@{a}\nghcr.io/octo/app@{b}\nghcr.io/octo/app@{b}\nghcr.io/octo/app:v2\nghcr.io/octo/app:v2\n"
    );
    let expected = [
        format!("ghcr.io/octo/app:v1@{a}"),
        format!("ghcr.io/octo/app:latest@{a}"),
        format!("ghcr.io/octo/app@{b}"),
        "ghcr.io/octo/app:v2".to_owned(),
    ];
    assert_eq!(lines(&text).unwrap(), expected);
}

#[test]
fn a_tag_of_two_digests_is_refused_and_both_places_are_named() {
    let (a, b) = (digest("a"), digest("b"));
    let mut inputs = Inputs::default();
    inputs.lines(&Origin::new("refs"), format!("ghcr.io/octo/app:v1@{a}").as_bytes()).unwrap();
    inputs.digests(&Origin::new("digests.txt"), format!("{} ghcr.io/octo/app:v1", b.hex()).as_bytes()).unwrap();
    let error = texts(inputs).unwrap_err();
    assert_eq!(error.code(), "tag-of-two-digests");
    let expected = format!("ghcr.io/octo/app:v1 is {a} in refs, line 1 and {b} in digests.txt, line 1");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn sources_are_bounded() {
    let many = "a\n".to_owned() + &"#\n".repeat(MAX_LINES - 1);
    assert_eq!(lines(&many).unwrap(), ["docker.io/library/a:latest"]);
    assert_eq!(code(lines(&(many + "a\n"))), "input-too-large");
    let long = vec![b'#'; MAX_BYTES as usize];
    assert_eq!(code(read(|inputs, origin| inputs.lines(origin, &long))), "nothing-named");
    let longer = vec![b'#'; MAX_BYTES as usize + 1];
    assert_eq!(code(read(|inputs, origin| inputs.lines(origin, &longer))), "input-too-large");
    assert_eq!(code(read(|inputs, origin| inputs.lines(origin, b"\xff\xfea\0"))), "input-not-text");
}

#[test]
fn the_program_reads_standard_input_and_what_goreleaser_wrote() {
    let world = World::start();
    let job = Job::new(&world);
    let reference = world.reference("octo/app:v1").to_string();
    let list = job.folder.path().join("digests.txt");
    std::fs::write(&list, format!("{} {reference}\n", world.image.digest().trim_start_matches("sha256:"))).unwrap();
    let flags = ["-", "--digests-file", list.to_str().unwrap(), "--dry-run", "--output", "json"];
    let output = job.run_command("sign", &flags, format!("# built\n\n{reference}\n").as_bytes());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document = printed(&output);
    assert_eq!(document["images"].as_array().unwrap().len(), 1, "named twice: {document}");
    assert_eq!(document["images"][0]["digest"], world.image.digest());
    let output = job.run_command("sign", &["-", "--dry-run", "--output", "json"], b"# nothing\n");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(printed(&output)["errors"][0]["code"], "nothing-named");
}

#[test]
fn the_variable_of_the_metadata_action_counts_only_beside_the_digest_that_was_built() {
    let world = World::start();
    let mut job = Job::new(&world);
    let reference = world.reference("octo/app:v1").to_string();
    let tags = json!({"tags": [reference, world.reference("octo/app:latest").to_string()]});
    job.environment.push(("DOCKER_METADATA_OUTPUT_JSON".to_owned(), tags.to_string()));
    let output = job.run_command("sign", &["--dry-run", "--output", "json"], b"");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(printed(&output)["errors"][0]["code"], "no-reference");
    let built = ["--digest", world.image.digest(), "--dry-run", "--output", "json"];
    let document = printed(&job.run_command("sign", &built, b""));
    assert_eq!(document["images"].as_array().unwrap().len(), 2, "{document}");
    assert_eq!(document["statements"][0]["subjects"][0]["tags"], json!(["latest", "v1"]));
}
