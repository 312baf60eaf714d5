//! Input that nobody sends by mistake: names, signals, schemas, settings. Whatever comes, nothing panics, bounds hold, and
//! what is taken is sound.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use temporal_registry::{
    config::Settings,
    registry::{Command, Outcome, Registry, SLUG_NAME_CHARS_MAX, State, compat, slugify},
    schema::{SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, VIOLATIONS_MAX, ValidatorCache, content_hash},
    temporal::reference,
};

use crate::world::{BEGIN_MS, cases};

/// Words that mean something to whom this is sent.
const WORDS: [&str; 40] = [
    "type",
    "object",
    "string",
    "array",
    "integer",
    "properties",
    "required",
    "items",
    "pattern",
    "$ref",
    "#",
    "#/$defs/a",
    "$defs",
    "a",
    "anyOf",
    "allOf",
    "not",
    "enum",
    "const",
    "additionalProperties",
    "patternProperties",
    "^a+$",
    "$schema",
    "if",
    "then",
    "minimum",
    "dependentSchemas",
    "unevaluatedProperties",
    "$id",
    "$anchor",
    "worker_id",
    "task_queue",
    "workflows",
    "workflow_type",
    "workflow",
    "input_schema",
    "ttl_seconds",
    "labels",
    "name",
    "enabled",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(&WORDS[..]).prop_map(str::to_owned), 1 => any::<String>()]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((word(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn slugs_are_slugs(name in any::<String>()) {
        let slug = slugify(&name);
        prop_assert!(slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
        prop_assert!(!slug.starts_with('-') && !slug.ends_with('-'));
        prop_assert_eq!(slugify(&slug), slug.clone());
        let mut registry = Registry::new(State::default());
        let taken = matches!(registry.apply(&Command::Claim { name: name.clone() }, BEGIN_MS), Outcome::Claimed { .. });
        prop_assert_eq!(taken, !slug.is_empty() && name.chars().count() <= SLUG_NAME_CHARS_MAX);
    }

    /// Any JSON under any signal's name: refused with a reason, or applied to a state that stays sound.
    #[test]
    fn signals_leave_a_sound_state(
        sent in prop::collection::vec((0_usize..8, json()), 1..8),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        const NAMES: [&str; 8] = [
            "register_worker", "put_workflow", "heartbeat_worker", "unregister_worker", "set_workflow_enabled",
            "unregister_workflow", "registry_service_started", "nothing",
        ];
        let mut registry = Registry::new(State::default());
        let spec = |of: &Value| json!({"workflow_type": "a", "task_queue": "a", "input_schema": of});
        for (at, body) in sent {
            let near_misses = [
                body.clone(),
                json!({"worker_id": "a", "task_queue": "a", "workflows": [spec(&body)]}),
                json!({"workflow": spec(&body), "overwrite": true}),
                json!({"worker_id": body, "workflow_type": body, "enabled": body}),
            ];
            for body in near_misses {
                let text = serde_json::to_vec(&body).unwrap();
                for command in reference::signal(NAMES[at], &text, &registry).unwrap_or_default() {
                    registry.apply(&command, BEGIN_MS);
                }
            }
            prop_assert!(reference::signal(NAMES[at], &noise, &registry).is_err());
        }
        prop_assert_eq!(registry.state().check(), Ok(()));
        let written = serde_json::to_string(registry.state()).unwrap();
        let read: State = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), written);
    }

    /// Any JSON as a schema: refused, or good for checking and comparing in bounded time.
    #[test]
    fn schemas_are_refused_or_usable(schema in json(), other in json(), value in json()) {
        let began = Instant::now();
        let cache = ValidatorCache::new(4);
        let compiled = |schema: &Value| cache.get(&content_hash(schema), schema);
        if let Ok(validator) = compiled(&schema) {
            prop_assert!(validator.check(&value).len() <= VIOLATIONS_MAX);
            compat::broken_by(&schema, &schema);
            if compiled(&other).is_ok() {
                compat::broken_by(&schema, &other);
                compat::broken_by(&other, &schema);
            }
        }
        prop_assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }

    /// Any text as a settings file, and any as the value of a setting: taken, or refused with a reason.
    #[test]
    fn settings_are_refused_with_a_reason(text in any::<String>(), value in any::<String>(), tree in json()) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        let nested = serde_json::to_string(&json!({"server": tree, "limits": {"types_max": tree}})).unwrap();
        for text in [text, nested, format!("server: {{port: {value:?}}}"), format!("auth: {{token: \"${{{value}}}\"}}")] {
            std::fs::write(&file, text).unwrap();
            if let Err(error) = Settings::load(Some(&file), &BTreeMap::new(), &[]) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
        for key in ["TEMPORAL_ADDRESS", "TEMPORAL_REGISTRY_PORT", "TEMPORAL_REGISTRY__AUTH__TOKENS", "TEMPORAL_REGISTRY__"] {
            let environment = BTreeMap::from([(key.to_owned(), value.clone())]);
            if let Err(error) = Settings::load(None, &environment, &[]) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}

#[test]
fn a_signal_brings_no_schema_that_is_none() {
    let registry = Registry::new(State::default());
    for schema in
        [json!({"type": "nonsense"}), json!({"$ref": "#/nope"}), json!({"$ref": "http://127.0.0.1:9/s"})]
    {
        let spec = json!({"workflow_type": "a", "task_queue": "q", "input_schema": schema});
        for (name, body) in [
            ("register_worker", json!({"worker_id": "w", "task_queue": "q", "workflows": [spec]})),
            ("put_workflow", json!({"workflow": spec, "overwrite": true})),
        ] {
            let refused = reference::signal(name, body.to_string().as_bytes(), &registry).unwrap_err();
            assert!(refused.starts_with("input_schema: "), "{name}: {refused}");
        }
    }
}

fn code_of(schema: &Value) -> &'static str {
    match ValidatorCache::new(1).get(&content_hash(schema), schema) {
        Ok(_) => panic!("taken: {schema}"),
        Err(refused) => refused.code,
    }
}

#[test]
fn schemas_beyond_their_bounds_are_refused() {
    let deep = (0..=SCHEMA_DEPTH_MAX).fold(json!({}), |inner, _| json!({"not": inner}));
    assert_eq!(code_of(&deep), "schema_too_deep");
    assert_eq!(code_of(&json!({"description": "x".repeat(SCHEMA_BYTES_MAX)})), "schema_too_large");
    assert_eq!(code_of(&json!({"pattern": "a".repeat(2_000)})), "pattern_too_large");
    assert_eq!(code_of(&json!({"pattern": "("})), "bad_pattern");
    assert_eq!(code_of(&json!({"pattern": r"\p{L}{100}"})), "bad_pattern");
    assert_eq!(code_of(&json!({"$ref": "http://127.0.0.1:9/schema.json"})), "unresolvable_ref");
    assert_eq!(code_of(&json!({"$ref": "#"})), "endless_ref");
}

/// A match that would take too many steps back is no match, and the usual rules for passwords take few.
#[test]
fn patterns_step_back_a_bounded_number_of_times() {
    let fits = |pattern: &str, text: String| {
        let schema = json!({"pattern": pattern});
        let validator = ValidatorCache::new(1).get(&content_hash(&schema), &schema).expect("a validator");
        validator.check(&json!(text)).is_empty()
    };
    assert!(fits("(a+)b\\1c", "xabac".to_owned()));
    assert!(!fits("(a+)b\\1c", "a".repeat(400) + "xabac"));
    assert!(fits(r"^(?=.*[A-Z])(?=.*\d)(?!.*(.)\1\1).{8,}$", "Correct4Horse".repeat(4)));
}

#[test]
fn patterns_take_bounded_time() {
    let long = json!("a".repeat(50_000) + "!");
    for pattern in ["^(a+)+$", "^(a|a)*$", "(?=(a+))a*b\\1", "^(a?){60}a{60}$", "(a*)*\\1b"] {
        let (schema, began) = (json!({"pattern": pattern}), Instant::now());
        if let Ok(validator) = ValidatorCache::new(1).get(&content_hash(&schema), &schema) {
            validator.check(&long);
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{pattern} took {:?}", began.elapsed());
    }
}
