use super::*;

const TOOL: Tool = Tool { name: "countersign-verifier", version: "0.1.0" };

fn rule(id: &'static str) -> Rule {
    Rule {
        id,
        short_description: "Unsigned".to_owned(),
        full_description: "Nothing signed it.".to_owned(),
        help: "Sign it.".to_owned(),
        level: Level::Error,
        security_severity: Some("9.0"),
    }
}

fn finding(about: &str, level: Level, message: &str) -> Finding {
    let location = Location::file("policy.yaml");
    Finding { rule: "unsigned", level, message: message.to_owned(), location, about: about.to_owned() }
}

fn run(log: &Log) -> Value {
    let document = log.document();
    check(&document);
    document["runs"][0].clone()
}

/// What GitHub's page says it needs, and what the schema demands of the members that are written here.
fn check(document: &Value) {
    let text = |value: &Value| {
        let text = value.as_str().unwrap_or_else(|| panic!("{value} is no text"));
        assert!(!text.is_empty() && !text.chars().any(|c| c != '\n' && visible(c) != c), "{text:?}");
        text.chars().count()
    };
    assert_eq!(document["version"], "2.1.0");
    assert!(document["$schema"].as_str().unwrap().contains("sarif-2.1.0"));
    assert!(document.to_string().len() < 10_000_000);
    let run = &document["runs"][0];
    let driver = &run["tool"]["driver"];
    text(&driver["name"]);
    let rules = driver["rules"].as_array().unwrap();
    let ids: BTreeSet<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert!(ids.len() == rules.len() && rules.len() <= 25_000);
    for rule in rules {
        assert!(text(&rule["shortDescription"]["text"]) <= 1_025 && text(&rule["fullDescription"]["text"]) <= 1_025);
        text(&rule["help"]["text"]);
        if let Some(severity) = rule["properties"]["security-severity"].as_str() {
            assert!((0.1..=10.0).contains(&severity.parse::<f64>().unwrap()));
        }
    }
    let results = run["results"].as_array().unwrap();
    assert!(results.len() <= 25_000);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(result.get("kind").is_none());
        text(&result["message"]["text"]);
        assert!(!result["message"]["text"].as_str().unwrap().contains("]("));
        text(&result["partialFingerprints"]["primaryLocationLineHash"]);
        let locations = result["locations"].as_array().unwrap();
        assert_eq!(locations.len(), 1);
        let physical = &locations[0]["physicalLocation"];
        text(&physical["artifactLocation"]["uri"]);
        for member in ["startLine", "startColumn", "endLine", "endColumn"] {
            assert!(physical["region"][member].as_u64().unwrap() >= 1);
        }
    }
    for note in run["invocations"][0]["toolExecutionNotifications"].as_array().unwrap() {
        text(&note["message"]["text"]);
        text(&note["descriptor"]["id"]);
    }
}

#[test]
fn a_result_has_everything_that_github_needs() {
    let mut log = Log::new(TOOL);
    log.rule(rule("unsigned"));
    log.finding(finding("ghcr.io/octo/app:v1", Level::Error, "unsigned: no signature found"));
    log.end_with(Exit::Rejected);
    let run = run(&log);
    assert_eq!(run["results"][0]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"], "ghcr.io/octo/app:v1");
    assert_eq!(run["invocations"][0]["exitCode"], 3);
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
}

#[test]
fn two_images_that_fail_one_policy_are_two_alerts_in_every_run() {
    let prints = || {
        let mut log = Log::new(TOOL);
        log.finding(finding("a", Level::Error, "x"));
        log.finding(finding("b", Level::Error, "x"));
        let run = run(&log);
        [0, 1].map(|index| run["results"][index]["partialFingerprints"]["primaryLocationLineHash"].clone())
    };
    assert_ne!(prints()[0], prints()[1]);
    assert_eq!(prints(), prints());
    // What is said of it may change between runs: it stays the same alert.
    let print = |message| fingerprint(&finding("a", Level::Error, message));
    assert_eq!(print("unsigned"), print("signed by somebody else"));
}

#[test]
fn texts_from_outside_are_neither_links_nor_escape_codes() {
    let mut log = Log::new(TOOL);
    let hostile = "[click](https://evil.example) \u{1b}[2J \u{202e}x]\n(y";
    log.finding(finding(hostile, Level::Error, hostile));
    log.note(Note { id: hostile.to_owned(), level: Level::Note, message: hostile.to_owned() });
    log.finding(finding("", Level::Error, ""));
    let run = run(&log);
    let text = run["results"][0]["message"]["text"].as_str().unwrap();
    assert_eq!(text, "[click] (https://evil.example) \u{fffd}[2J \u{fffd}x]\n(y");
    assert_eq!(run["results"][1]["message"]["text"], "(nothing)");
}

#[test]
fn a_run_that_looked_at_nothing_is_no_success() {
    let failure = Failure::usage("no-policy", "no policy is given", None);
    let run = run(&Log::of_failure(TOOL, &failure));
    let invocation = &run["invocations"][0];
    assert_eq!((invocation["executionSuccessful"].clone(), invocation["exitCode"].clone()), (false.into(), 2.into()));
    assert_eq!(invocation["toolExecutionNotifications"][0]["level"], "error");
    assert_eq!(run["results"], json!([]));
}

#[test]
fn what_does_not_fit_is_counted_and_the_gravest_stay() {
    let mut log = Log::new(TOOL);
    for number in 0..MAX_RESULTS {
        log.finding(finding(&number.to_string(), Level::Note, "a"));
    }
    assert_eq!(run(&log)["results"].as_array().unwrap().len(), MAX_RESULTS);
    log.finding(finding("last", Level::Error, "b"));
    let run = run(&log);
    assert_eq!(run["results"].as_array().unwrap().len(), MAX_RESULTS);
    assert_eq!(run["results"][0]["level"], "error");
    let note = &run["invocations"][0]["toolExecutionNotifications"][0];
    assert_eq!(note["message"]["text"], "1 more results are left out");
}

#[test]
fn long_results_and_notes_are_cut_before_the_document_is_too_large() {
    let mut log = Log::new(TOOL);
    let long = "x".repeat(10_000);
    for number in 0..4_000 {
        log.finding(finding(&number.to_string(), Level::Error, &long));
        log.note(Note { id: "verified".to_owned(), level: Level::Note, message: long.clone() });
    }
    let run = run(&log);
    let shown = run["results"].as_array().unwrap().len();
    assert!(shown > 1_000, "{shown}");
    let notes = run["invocations"][0]["toolExecutionNotifications"].as_array().unwrap();
    let said = |text: String| notes.iter().any(|note| note["message"]["text"] == text.as_str());
    assert!(said(format!("{} more results are left out", 4_000 - shown)));
    assert!(said(format!("{} more notes are left out", 4_000 - (notes.len() - 2))));
}
