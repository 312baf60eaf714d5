use temporal_registry::registry::{Command, Outcome, Refusal, run_name, slugify};

use crate::world::World;

const DAY: i64 = 24 * 3600;

/// Names with the slugs that `re.sub("[^a-z0-9-]+", "-", name.strip().lower()).strip("-")` gives in Python.
const SLUGS: [(&str, &str); 48] = [
    ("a", "a"),
    ("A", "a"),
    ("Hello World", "hello-world"),
    ("  padded  ", "padded"),
    ("a--b", "a--b"),
    ("-a-", "a"),
    ("--a--", "a"),
    ("a - b", "a---b"),
    ("a -b", "a--b"),
    ("a- b", "a--b"),
    ("Ä", ""),
    ("äöü", ""),
    ("a_b", "a-b"),
    ("a__b", "a-b"),
    ("a.b.c", "a-b-c"),
    ("İ", "i"),
    ("İstanbul", "i-stanbul"),
    ("ISTANBUL", "istanbul"),
    ("ı", ""),
    ("straße", "stra-e"),
    ("STRASSE", "strasse"),
    ("ǅ", ""),
    ("K", "k"),
    ("\u{212a}", "k"),
    ("\u{212a}elvin", "kelvin"),
    ("ſ", ""),
    ("Å", ""),
    ("\u{212b}", ""),
    ("e\u{301}", "e"),
    ("É", ""),
    ("日本語", ""),
    ("日本-語", ""),
    ("a日b", "a-b"),
    ("😀", ""),
    ("a😀b😀c", "a-b-c"),
    ("a\tb\nc", "a-b-c"),
    ("\u{a0}a\u{a0}", "a"),
    ("a\u{200b}b", "a-b"),
    ("1", "1"),
    ("01-02", "01-02"),
    ("R2D2", "r2d2"),
    ("a/b\\c", "a-b-c"),
    ("%20", "20"),
    ("-", ""),
    ("", ""),
    ("  -  ", ""),
    ("Σίσυφος", ""),
    (
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx!",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ),
];

#[test]
fn slugs_of_names() {
    for (name, slug) in SLUGS {
        assert_eq!(slugify(name), slug, "{name:?}");
        assert_eq!(slugify(slug), slug, "a slug is its own slug");
    }
}

fn reset(name: &str) -> Command {
    Command::ResetSlug { name: name.to_owned() }
}

#[test]
fn counting() {
    let mut w = World::new();
    let table = [("Nightly Report", 1), ("nightly-report", 2), ("other", 1), (" NIGHTLY  report! ", 3)];
    for (name, counter) in table {
        assert_eq!(w.claim(name), counter, "{name}");
    }
    assert_eq!(run_name("nightly-report", 3), "nightly-report-r3");
    let forgotten =
        |previous_counter| Outcome::SlugReset { slug: "nightly-report".to_owned(), previous_counter };
    assert_eq!(w.run(reset("Nightly report")), forgotten(3));
    assert_eq!(w.run(reset("Nightly report")), forgotten(0));
    assert_eq!(w.claim("nightly report"), 1);
    w.hand_over();
    assert_eq!(w.claim("nightly report"), 2);
}

#[test]
fn names_that_give_no_slug() {
    let mut w = World::new();
    let long = "x".repeat(129);
    for name in ["", " ", "---", "!?", "日本語", "-- -", &long] {
        for command in [Command::Claim { name: name.to_owned() }, reset(name)] {
            assert!(matches!(w.refusal(command), Refusal::BadName { .. }), "{name:?}");
        }
    }
    assert_eq!(w.claim(&"ä".repeat(127).replacen('ä', "a", 1)), 1, "128 characters, however many bytes");
}

#[test]
fn counters_are_dropped_after_their_time() {
    let mut w = World::new();
    w.claim("a");
    w.tick(15 * DAY);
    w.claim("b");
    w.tick(15 * DAY);
    assert_eq!(w.claim("b"), 2);
    assert!(w.state().slugs.contains_key("a"), "30 days to the millisecond");
    w.tick(1);
    w.sweep();
    assert!(!w.state().slugs.contains_key("a"));
    assert_eq!(w.claim("a"), 1);
    w.tick(31 * DAY);
    assert_eq!(w.claim("a"), 1, "not counted on though nobody swept");

    w.bound(|limits| limits.slug_ttl_ms = None);
    w.tick(1000 * DAY);
    w.sweep();
    assert_eq!(w.claim("a"), 2, "kept for ever");
}

#[test]
fn beyond_the_bound_the_least_recently_claimed_go() {
    let mut w = World::with(|limits| limits.slugs_max = 3);
    for name in ["a", "b", "c", "a", "d"] {
        w.tick(1);
        w.claim(name);
    }
    let kept = |w: &World| -> String { w.state().slugs.keys().cloned().collect() };
    assert_eq!(kept(&w), "acd");
    w.hand_over();
    w.tick(1);
    w.claim("e");
    assert_eq!(kept(&w), "ade", "the order outlives a hand-over");
    w.bound(|limits| limits.slugs_max = 1);
    w.claim("a");
    assert_eq!(kept(&w), "a");
    assert_eq!(w.state().slugs["a"].counter, 3);
}

#[test]
fn the_default_bound() {
    let mut w = World::new();
    for number in 0..10_001_i64 {
        let name = format!("n{number}");
        w.registry.apply(&Command::Claim { name }, w.now_ms + number);
    }
    assert_eq!(w.state().slugs.len(), 10_000);
    assert!(!w.state().slugs.contains_key("n0"));
}
