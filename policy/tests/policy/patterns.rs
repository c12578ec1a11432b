//! Patterns: whole values only, and a literal host and owner.

use countersign_policy::PolicyError;

use crate::support::{GITHUB, codes, document, facts, gallery, load, refusal, with_claims};

const HEAD: &str = r"https://github\.com/octo/app/\.github/workflows/release\.yml@";

fn signer(pattern: &str) -> String {
    document(&format!("issuer: {GITHUB}\nidentity_regex: '{pattern}'"), "")
}

/// Whether a signature with this name, by a job of the repository of that name, is accepted.
fn admits(pattern: &str, name: &str) -> bool {
    let policy = load(&signer(pattern));
    let mut facts = facts();
    facts.subject_alternative_name = Some(name.to_owned());
    facts.claims.source_repository_uri = name.split("/.github/workflows/").next().map(str::to_owned);
    codes(&policy, &facts).is_empty()
}

#[test]
fn a_pattern_matches_the_whole_value_and_nothing_around_it() {
    let pattern = format!("{HEAD}refs/(heads/main|tags/v.+)");
    let good = "https://github.com/octo/app/.github/workflows/release.yml@";
    for (name, expected) in [
        (format!("{good}refs/heads/main"), true),
        (format!("{good}refs/tags/v1"), true),
        (format!("{good}refs/tags/v1.2.3-rc.1"), true),
        (format!("{good}refs/heads/main-evil"), false),
        (format!("{good}refs/heads/mai"), false),
        (format!("{good}refs/tags/v"), false),
        (format!("{good}refs/tags/v1\n"), false),
        (format!("{good}refs/tags/v1\0"), false),
        (format!("{good}refs/tags/v1\r"), false),
        (format!("{good}refs/pull/7/merge"), false),
        (format!("x{good}refs/heads/main"), false),
        (format!("\n{good}refs/heads/main"), false),
        (format!("https://evil.example/?u={good}refs/heads/main"), false),
        (format!("https://evil.example/octo/app/.github/workflows/a.yml@{good}refs/heads/main"), false),
        (good.to_owned(), false),
        (String::new(), false),
    ] {
        assert_eq!(admits(&pattern, &name), expected, "{name:?}");
    }
}

#[test]
fn anchors_that_people_write_change_nothing() {
    let name = "https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main";
    for pattern in [
        format!("^{HEAD}refs/heads/main$"),
        format!(r"\A{HEAD}refs/heads/main\z"),
        format!("({HEAD})refs/heads/main"),
        format!("(?:^{HEAD}(?P<reference>refs/heads/main)$)"),
        format!("(?m)^{HEAD}refs/heads/main$"),
    ] {
        assert!(admits(&pattern, name), "{pattern}");
        assert!(!admits(&pattern, &format!("{name}\nx")), "{pattern}");
        assert!(!admits(&pattern, &format!("x\n{name}")), "{pattern}");
        assert!(!admits(&pattern, &format!("{name}x")), "{pattern}");
    }
}

/// Blocks in the wild forget to escape dots: they load, and the host that was meant is the only one.
#[test]
fn an_unescaped_dot_in_the_host_admits_no_other_host() {
    let pattern = "^https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main$";
    assert!(admits(pattern, "https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main"));
    for name in [
        "https://githubXcom/octo/app/.github/workflows/release.yml@refs/heads/main",
        "https://github/com/octo/app/.github/workflows/release.yml@refs/heads/main",
        "https://github-com/octo/app/.github/workflows/release.yml@refs/heads/main",
        "https://GITHUB.com/octo/app/.github/workflows/release.yml@refs/heads/main",
        "http://github.com/octo/app/.github/workflows/release.yml@refs/heads/main",
    ] {
        assert!(!admits(pattern, name), "{name}");
    }
}

#[test]
fn patterns_that_leave_scheme_host_or_owner_open_are_refused() {
    for pattern in [
        ".*",
        ".+",
        "^.*$",
        "",
        "x",
        "release",
        "https://",
        "https://github\\.com",
        "https://github\\.com/",
        "https://github\\.com/octo.*",
        "https://github\\.com/octo[^/]*/app/.*",
        "https://github\\.com/oct?o/app",
        "https://github\\.com/.*",
        "https://github\\.com/.*/app/.*",
        "https://github\\.com/[^/]+/app/.*",
        "https://github\\.com/\\w+/app/.*",
        "https://github\\.com/(octo)?/app/.*",
        "https://github\\.com/(octo)*/app/.*",
        "https://.*github\\.com/octo/app/.*",
        "https://[a-z.]+/octo/app/.*",
        "https://github.*/octo/app/.*",
        "https://github.+com/octo/app/.*",
        "https://github.?com/octo/app/.*",
        "https?://github\\.com/octo/app/.*",
        ".*https://github\\.com/octo/app/.*",
        "[h]?ttps://github\\.com/octo/app/.*",
        "(?i)https://github\\.com/octo/app/.*",
        "https://(?i)github\\.com/octo/app/.*",
        "https://github\\.com@evil\\.example/octo/.*",
        "https://github\\.com\\?/octo/.*",
        "HTTPS://github\\.com/octo/.*",
        "//github\\.com/octo/.*",
        "a|.*",
        ".*|https://github\\.com/octo/app/.*",
        "https://github\\.com/octo/app/.*|.*",
        "https://github\\.com/octo/app/.*|",
        "|https://github\\.com/octo/app/.*",
        "https://github\\.com/octo/app/.*|https://github\\.com/.*",
        "https://github\\.com/(octo|.*)/app/.*",
        "(https://github\\.com/octo/app/.*|x)",
        "[a-z]+@octo\\.example",
        ".*@octo\\.example",
        "(a+)+$",
    ] {
        let error = refusal(&signer(pattern));
        match pattern {
            "" => assert!(matches!(error, PolicyError::Empty { .. }), "{error}"),
            _ => assert!(matches!(error, PolicyError::OpenPattern { .. }), "{pattern}: {error:?}"),
        }
    }
}

#[test]
fn patterns_whose_every_alternative_fixes_scheme_host_and_owner_load() {
    for pattern in [
        "https://github\\.com/octo/.*",
        "https://github\\.com/octo/app/.*|https://github\\.com/octo/tool/.*",
        "https://github\\.com/(octo|octo-labs)/app/.*",
        "https://(github\\.com|git\\.example:8443)/octo/app/.*",
        "(https://github\\.com/octo)/.*",
        "https://github\\.com/octo",
        "https://github[.]com/octo/.*",
        "https://github\\.com/octo/\\w{1,40}/.*",
        "https://github\\.com/octo/(?i)APP/.*",
    ] {
        load(&signer(pattern));
    }
    let either = "https://github\\.com/(octo|octo-labs)/app/\\.github/workflows/a\\.yml@refs/heads/main";
    assert!(admits(either, "https://github.com/octo/app/.github/workflows/a.yml@refs/heads/main"));
    assert!(admits(either, "https://github.com/octo-labs/app/.github/workflows/a.yml@refs/heads/main"));
    assert!(!admits(either, "https://github.com/octo-evil/app/.github/workflows/a.yml@refs/heads/main"));
}

#[test]
fn alternatives_do_not_escape_the_anchors() {
    let pattern = "https://github\\.com/octo/a|https://github\\.com/octo/b";
    for name in ["https://github.com/octo/ax", "xhttps://github.com/octo/b", "https://github.com/octo/a|"] {
        assert!(!admits(pattern, name), "{name}");
    }
}

#[test]
fn expressions_that_do_not_compile_are_refused_with_their_reason() {
    for pattern in [
        format!("{HEAD}("),
        format!("{HEAD}["),
        format!("{HEAD}*)+"),
        format!("{HEAD}a)|(?:b"),
        format!("{HEAD}(?=x)"),
        format!(r"{HEAD}(a)\1"),
        format!("(?x){HEAD} # comment"),
        format!("{HEAD}(a{{1000}}){{1000}}"),
        format!("{HEAD}{}x{}", "(".repeat(200), ")".repeat(200)),
    ] {
        let error = refusal(&signer(&pattern));
        assert!(matches!(error, PolicyError::MalformedPattern { .. }), "{error:?}");
        assert!(std::error::Error::source(&error).is_some());
        assert_eq!(error.location().key, "signers[0].identity_regex");
    }
}

#[test]
fn names_of_any_length_are_refused_in_linear_time() {
    let pattern = format!("{HEAD}(a+)+");
    let name = format!("https://github.com/octo/app/.github/workflows/release.yml@{}", "a".repeat(1024 * 1024));
    assert!(!admits(&pattern, &name));
    assert!(!admits(&pattern, &format!("{}b", &name[..8_000])));
    assert!(admits(&pattern, &name[..8_000]));
}

#[test]
fn claim_patterns_match_whole_values_too() {
    for (github, accepted) in [
        (r"{ref_regex: 'refs/heads/(main|next)'}", true),
        (r"{ref_regex: 'refs/heads/mai'}", false),
        (r"{ref_regex: 'heads/main'}", false),
        (r"{ref_regex: 'x|refs/heads/main'}", true),
        (r"{trigger_regex: 'push|schedule'}", true),
        (r"{trigger_regex: 'pus'}", false),
        (r"{runner_environment_regex: 'github-.*'}", true),
        (r"{environment_regex: 'prod.*'}", true),
        (r"{environment_regex: 'stag.*'}", false),
        (r"{build_config_regex: 'https://github\.com/octo/app/.*'}", true),
        (r"{build_config_regex: 'https://github\.com/octo/tool/.*'}", false),
        (r"{repository_regex: 'octo/.*'}", true),
        (r"{repository_regex: 'octo/ap'}", false),
        (r"{repository_regex: 'octo/tool|octo/app'}", true),
    ] {
        assert_eq!(codes(&load(&with_claims(github)), &facts()).is_empty(), accepted, "{github}");
    }
}

#[test]
fn a_repository_pattern_that_leaves_the_owner_open_is_refused() {
    for pattern in [".*", ".*/app", "octo.*", "oct[o]+/app", "[^/]+/app", "octo/app|.*"] {
        let error = refusal(&with_claims(&format!("{{repository_regex: '{pattern}'}}")));
        assert!(matches!(error, PolicyError::OpenPattern { .. }), "{pattern}: {error:?}");
    }
}

#[test]
fn an_issuer_pattern_fixes_the_host() {
    let block = |pattern: &str| format!("issuer_regex: '{pattern}'\nidentity_regex: '{HEAD}refs/heads/main'");
    for pattern in [
        ".*",
        "https://.*",
        "https://token\\.actions\\.githubusercontent\\.com.*",
        "https://token\\.actions\\..*",
        "https?://token\\.actions\\.githubusercontent\\.com",
        "https://[^/]+",
    ] {
        let error = gallery(&block(pattern)).unwrap_err();
        assert!(matches!(&error, PolicyError::OpenPattern { .. }), "{pattern}: {error:?}");
    }
    for (pattern, issuer, accepted) in [
        ("https://token\\.actions\\.githubusercontent\\.com", GITHUB, true),
        ("^https://token.actions.githubusercontent.com$", GITHUB, true),
        ("^https://token.actions.githubusercontent.com$", "https://tokenXactions.githubusercontent.com", false),
        (
            "https://token\\.actions\\.githubusercontent\\.com(/octo)?",
            "https://token.actions.githubusercontent.com/octo",
            true,
        ),
        ("https://token\\.actions\\.githubusercontent\\.com/.*", GITHUB, false),
    ] {
        let policy = gallery(&block(pattern));
        // `(/octo)?` comes before the slash that ends the host: the host is not fixed.
        if pattern.ends_with('?') {
            assert!(matches!(policy, Err(PolicyError::OpenPattern { .. })));
            continue;
        }
        let mut facts = facts();
        facts.issuer = Some(issuer.to_owned());
        assert_eq!(codes(&policy.unwrap(), &facts).is_empty(), accepted, "{pattern} {issuer}");
    }
}

#[test]
fn thousands_of_groups_cost_neither_gigabytes_nor_the_process() {
    let groups = |count: usize| format!("{HEAD}refs/tags/v{}", "(a|b)?".repeat(count));
    assert!(matches!(refusal(&signer(&groups(8_000))), PolicyError::LongPattern { .. }));
    // As many as fit.
    let most = groups(660);
    let name = "https://github.com/octo/app/.github/workflows/release.yml@refs/tags/v";
    assert!(admits(&most, &format!("{name}{}", "ab".repeat(300))));
    assert!(!admits(&most, &format!("{name}{}c", "ab".repeat(300))));
    let long = format!("{HEAD}{}", "a".repeat(4 * 1024 - HEAD.len()));
    load(&signer(&long));
    assert!(matches!(refusal(&signer(&format!("{long}a"))), PolicyError::LongPattern { bytes: 4097, limit: 4096, .. }));
}
