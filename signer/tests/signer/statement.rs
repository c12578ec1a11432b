//! The statement's bytes and how subjects are spread over statements.

use std::collections::BTreeSet;

use countersign_oci::{Digest, Tag};
use countersign_signer::error::SignError;
use countersign_signer::statement::{Annotations, PlannedStatement, StatementForm, plan};
use countersign_signer::subjects::{Release, Subject, SubjectKind};

fn subject(content: &str, kind: SubjectKind) -> Subject {
    Subject {
        digest: Digest::of(content.as_bytes()),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        size: content.len() as u64,
        kind,
        platform: None,
    }
}

fn image(name: &str, children: usize) -> Vec<Subject> {
    let mut subjects = vec![subject(name, SubjectKind::Index)];
    subjects.extend((0..children).map(|child| subject(&format!("{name}/{child}"), SubjectKind::Image)));
    subjects
}

fn tags(names: &[&str]) -> BTreeSet<Tag> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn names(statement: &PlannedStatement) -> Vec<String> {
    statement.subjects.iter().map(|bound| bound.reference().to_string()).collect()
}

#[test]
fn statement_bytes_are_cosigns_shape_with_name_and_tags() {
    let mut release = Release::default();
    release.add("ghcr.io/octo/app".parse().unwrap(), tags(&["v1", "latest"]), image("app", 1));
    let annotations = Annotations::parse(&["b=2", "a=1 = one"]).unwrap();
    let statements = plan(&release, StatementForm::Image);
    let index = Digest::of(b"app");
    let child = Digest::of(b"app/0");
    let expected = format!(
        concat!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":["#,
            r#"{{"name":"ghcr.io/octo/app@{index}","digest":{{"sha256":"{index_hex}"}},"annotations":{{"a":"1 = one","b":"2","dev.countersign.tags":"latest,v1"}}}},"#,
            r#"{{"name":"ghcr.io/octo/app@{child}","digest":{{"sha256":"{child_hex}"}},"annotations":{{"a":"1 = one","b":"2","dev.countersign.tags":"latest,v1"}}}}"#,
            r#"],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{{}}}}"#,
        ),
        index = index,
        index_hex = index.hex(),
        child = child,
        child_hex = child.hex(),
    );
    assert_eq!(statements.len(), 1);
    assert_eq!(String::from_utf8(statements[0].to_bytes(&annotations)).unwrap(), expected);
}

#[test]
fn without_tags_and_annotations_the_annotations_are_an_empty_object() {
    let mut release = Release::default();
    release.add("ghcr.io/octo/app".parse().unwrap(), tags(&[]), image("app", 0));
    let statements = plan(&release, StatementForm::Image);
    let text = String::from_utf8(statements[0].to_bytes(&Annotations::default())).unwrap();
    assert!(text.contains(r#""annotations":{}}"#), "{text}");
}

#[test]
fn one_image_in_two_repositories_is_one_statement_with_the_index_first() {
    let mut release = Release::default();
    release.add("ghcr.io/octo/app".parse().unwrap(), tags(&["v1"]), image("app", 1));
    release.add("quay.io/octo/app".parse().unwrap(), tags(&["v2"]), image("app", 1));
    let statements = plan(&release, StatementForm::Image);
    assert_eq!(statements.len(), 1);
    let (index, child) = (Digest::of(b"app"), Digest::of(b"app/0"));
    assert_eq!(
        names(&statements[0]),
        [
            format!("ghcr.io/octo/app@{index}"),
            format!("quay.io/octo/app@{index}"),
            format!("ghcr.io/octo/app@{child}"),
            format!("quay.io/octo/app@{child}"),
        ]
    );
    let signed: Vec<Vec<String>> =
        statements[0].subjects.iter().map(|bound| bound.tags().map(ToString::to_string).collect()).collect();
    assert_eq!(signed, [["v1"], ["v2"], ["v1"], ["v2"]]);
}

#[test]
fn two_tags_of_one_image_are_one_place() {
    let mut release = Release::default();
    release.add("ghcr.io/octo/app".parse().unwrap(), tags(&["v1"]), image("app", 1));
    release.add("ghcr.io/octo/app".parse().unwrap(), tags(&["latest"]), image("app", 1));
    let statements = plan(&release, StatementForm::Image);
    assert_eq!(statements.len(), 1);
    assert_eq!(statements[0].subjects.len(), 2);
}

#[test]
fn each_form_spreads_the_same_subjects_its_own_way() {
    let mut release = Release::default();
    release.add("ghcr.io/octo/app".parse().unwrap(), tags(&[]), image("app", 2));
    release.add("ghcr.io/octo/tool".parse().unwrap(), tags(&[]), image("tool", 1));
    let table = [
        (StatementForm::Image, vec![3, 2]),
        (StatementForm::Digest, vec![1, 1, 1, 1, 1]),
        (StatementForm::Release, vec![5]),
    ];
    for (form, expected) in table {
        let sizes: Vec<usize> = plan(&release, form).iter().map(|one| one.subjects.len()).collect();
        assert_eq!(sizes, expected, "{form:?}");
    }
}

#[test]
fn a_child_that_two_images_share_is_one_subject_of_a_release_and_one_statement_by_digest() {
    let mut release = Release::default();
    let shared = subject("shared", SubjectKind::Image);
    let mut first = image("first", 0);
    first.push(shared.clone());
    let mut second = image("second", 0);
    second.push(shared.clone());
    release.add("ghcr.io/octo/app".parse().unwrap(), tags(&["v1"]), first);
    release.add("ghcr.io/octo/app".parse().unwrap(), tags(&["v2"]), second);
    for (form, statements) in [(StatementForm::Release, 1), (StatementForm::Digest, 3)] {
        let planned = plan(&release, form);
        assert_eq!(planned.len(), statements);
        let bound: Vec<_> = planned
            .iter()
            .flat_map(|one| &one.subjects)
            .filter(|bound| bound.subject.digest == shared.digest)
            .collect();
        assert_eq!(bound.len(), 1, "{form:?}");
        assert_eq!(bound[0].tags().map(ToString::to_string).collect::<Vec<_>>(), ["v1", "v2"]);
    }
}

#[test]
fn a_release_is_split_before_readers_refuse_it() {
    let mut release = Release::default();
    release.add("ghcr.io/octo/app".parse().unwrap(), tags(&[]), image("app", 2_000));
    let sizes: Vec<usize> = plan(&release, StatementForm::Release).iter().map(|one| one.subjects.len()).collect();
    assert_eq!(sizes, [1_000, 1_000, 1]);
}

#[test]
fn annotations_of_this_program_cannot_be_given() {
    for text in ["dev.countersign.tags=v9", "DEV.countersign.Tags=v9", "dev.countersign.=x"] {
        assert!(matches!(Annotations::parse(&[text]), Err(SignError::AnnotationReserved { .. })), "{text}");
    }
    for text in ["", "key", "=value", "a\nb=c"] {
        assert!(matches!(Annotations::parse(&[text]), Err(SignError::AnnotationMalformed { .. })), "{text}");
    }
    match Annotations::parse(&["a=1", "a=2"]) {
        Err(SignError::AnnotationRepeated { key, first, second }) => {
            assert_eq!((key.as_str(), first.as_str(), second.as_str()), ("a", "1", "2"));
        }
        other => panic!("{other:?}"),
    }
    assert!(Annotations::parse(&["a=1", "a=1", "dev.countersignature=x", "empty="]).is_ok());
}
