//! The comparison of schemas against the engine that checks values: what is called compatible must hold for
//! values.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use temporal_registry::registry::compat::broken_by;
use temporal_registry::schema::Validator;

/// Random decisions; zero, the simplest, once they run out.
#[derive(Debug)]
struct Dice {
    rolls: std::vec::IntoIter<u8>,
}

impl Dice {
    fn roll(&mut self, sides: u8) -> u8 {
        self.rolls.next().unwrap_or(0) % sides
    }

    fn number(&mut self) -> i64 {
        i64::from(self.roll(6)) - 1
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let sides = u8::try_from(from.len()).unwrap_or(u8::MAX);
        &from[usize::from(self.roll(sides))]
    }
}

fn dice(rolls: usize) -> impl Strategy<Value = Dice> {
    prop::collection::vec(any::<u8>(), 0..rolls).prop_map(|rolls| Dice { rolls: rolls.into_iter() })
}

const NAMES: [&str; 3] = ["a", "b", "c"];
const BOUNDS: [&str; 10] = [
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
];

fn schema(dice: &mut Dice, depth: u8) -> Value {
    let mut map = Map::new();
    match dice.roll(8) {
        0 => return json!(true),
        1 => drop(map.insert("type".into(), json!(["string", "null"]))),
        2 => drop(map.insert("enum".into(), json!([dice.number(), "x", null, [1]]))),
        3 => drop(map.insert("const".into(), json!(dice.number()))),
        4 => drop(map.insert("$ref".into(), json!(format!("#/$defs/{}", dice.roll(2))))),
        _ => {
            let types = ["integer", "number", "string", "boolean", "array", "object"];
            map.insert("type".into(), json!(dice.pick(&types)));
        }
    }
    for _ in 0..dice.roll(4) {
        keyword(dice, depth, &mut map);
    }
    Value::Object(map)
}

fn keyword(dice: &mut Dice, depth: u8, map: &mut Map<String, Value>) {
    let (name, held) = match dice.roll(if depth == 0 { 4 } else { 14 }) {
        0 => (*dice.pick(&BOUNDS), json!(dice.number().max(0))),
        1 => ("multipleOf", json!(dice.number().max(1))),
        2 => ("required", json!([dice.pick(&NAMES)])),
        3 => ("pattern", json!(dice.pick(&["^x", "^$"]))),
        4 => ("items", schema(dice, depth - 1)),
        5 => ("prefixItems", json!([schema(dice, depth - 1)])),
        6 => ("additionalProperties", schema(dice, depth - 1)),
        7 => ("additionalProperties", json!(false)),
        8 => ("patternProperties", json!({"^[ab]$": schema(dice, depth - 1)})),
        9 => ("anyOf", json!([schema(dice, depth - 1), schema(dice, depth - 1)])),
        10 => ("allOf", json!([schema(dice, depth - 1), schema(dice, depth - 1)])),
        11 => ("oneOf", json!([schema(dice, depth - 1), schema(dice, depth - 1)])),
        12 => ("contains", schema(dice, depth - 1)),
        _ => {
            let mut properties = Map::new();
            for _ in 0..=dice.roll(2) {
                properties.insert((*dice.pick(&NAMES)).to_owned(), schema(dice, depth - 1));
            }
            ("properties", properties.into())
        }
    };
    map.insert(name.into(), held);
}

/// A document: definitions may reach each other only in one direction, so that nothing is endless.
fn document(dice: &mut Dice) -> Value {
    let definitions = json!({"0": schema_without_references(dice), "1": schema_without_references(dice)});
    let mut root = schema(dice, 2);
    if let Some(map) = root.as_object_mut() {
        map.insert("$defs".into(), definitions);
    }
    root
}

fn schema_without_references(dice: &mut Dice) -> Value {
    let mut made = schema(dice, 1);
    strip(&mut made);
    made
}

fn strip(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.remove("$ref");
            map.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// `schema` made to accept more, or as much. What `oneOf` and `contains` hold stays: widening below them
/// may narrow the whole, or cannot be compared.
fn widened(dice: &mut Dice, schema: &Value) -> Value {
    let Some(map) = schema.as_object() else { return json!(true) };
    let mut wide = Map::new();
    for (name, held) in map {
        let bound = |by: i64| json!(held.as_i64().unwrap_or(0) + by);
        let held = match (name.as_str(), dice.roll(4)) {
            ("$defs", _) => held.clone(),
            ("type" | "enum" | "required" | "pattern" | "contains" | "oneOf", 0) => continue,
            ("items" | "anyOf", 0) => continue,
            ("type", 1) => match held.as_str() {
                Some("integer") => json!("number"),
                Some(one) => json!([one, "null"]),
                None => held.clone(),
            },
            ("enum", 1) => {
                let mut values = held.as_array().cloned().unwrap_or_default();
                values.push(json!("more"));
                json!(values)
            }
            ("const", 1) => {
                wide.insert("enum".into(), json!([held, "other"]));
                continue;
            }
            ("minimum" | "exclusiveMinimum", 1) => bound(-1),
            ("minLength" | "minItems" | "minProperties", 1) => json!((held.as_i64().unwrap_or(0) - 1).max(0)),
            ("maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties", 1) => bound(1),
            ("items" | "additionalProperties", _) if held.is_object() => widened(dice, held),
            ("properties" | "patternProperties", _) => held
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, sub)| (key.clone(), widened(dice, sub)))
                .collect(),
            ("anyOf" | "allOf" | "prefixItems", _) => {
                held.as_array().into_iter().flatten().map(|sub| widened(dice, sub)).collect()
            }
            _ => held.clone(),
        };
        wide.insert(name.clone(), held);
    }
    if dice.roll(3) == 0 && !wide.contains_key("properties") && !map.contains_key("patternProperties") {
        wide.insert("properties".into(), json!({"added": true}));
    }
    wide.insert("title".into(), json!("widened"));
    Value::Object(wide)
}

/// `from` with something changed, for better or worse, but no property added.
fn changed(dice: &mut Dice, from: &Value) -> Value {
    let once = changed_once(dice, from);
    if dice.roll(2) == 0 { once } else { changed_once(dice, &once) }
}

fn changed_once(dice: &mut Dice, from: &Value) -> Value {
    match from {
        Value::Object(map) => {
            let mut map = map.clone();
            let keys: Vec<String> = map.keys().cloned().collect();
            if let Some(key) = (!keys.is_empty()).then(|| dice.pick(&keys).clone()) {
                match (dice.roll(4), map.get(&key)) {
                    (0 | 1, _) if key != "$defs" => drop(map.shift_remove(&key)),
                    (_, Some(held)) if held.is_object() || held.is_array() => {
                        let held = changed(dice, held);
                        map.insert(key, held);
                    }
                    (_, Some(Value::Number(_))) => drop(map.insert(key, json!(dice.number().max(1)))),
                    _ => {}
                }
            }
            if dice.roll(3) == 0 && map.keys().any(|key| key != "0" && !NAMES.contains(&key.as_str())) {
                let properties = map.get("properties").cloned();
                keyword(dice, 1, &mut map);
                match properties {
                    Some(properties) => drop(map.insert("properties".into(), properties)),
                    None => drop(map.shift_remove("properties")),
                }
            }
            Value::Object(map)
        }
        Value::Array(items) if !items.is_empty() => {
            let mut items = items.clone();
            let index = usize::from(dice.roll(2)).min(items.len() - 1);
            items[index] = changed(dice, &items[index]);
            Value::Array(items)
        }
        Value::Bool(_) => schema(dice, 0),
        other => other.clone(),
    }
}

/// A value with a fair chance to fit `schema`.
fn value(dice: &mut Dice, document: &Value, schema: &Value, depth: u8) -> Value {
    if depth == 0 || dice.roll(8) == 0 {
        return match dice.roll(5) {
            0 => json!(null),
            1 => json!(dice.number()),
            2 => json!("x"),
            3 => json!([]),
            _ => json!(1.5),
        };
    }
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|to| document.pointer(&to[1..]));
    if let Some(target) = target {
        return value(dice, document, target, depth - 1);
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array).filter(|values| !values.is_empty()) {
        return dice.pick(values).clone();
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    let listed = ["anyOf", "oneOf"].iter().find_map(|keyword| schema.get(*keyword)?.as_array());
    if let Some(branches) = listed.filter(|_| dice.roll(2) == 0) {
        let branch = dice.pick(branches);
        return value(dice, document, branch, depth - 1);
    }
    let named = schema.get("type").and_then(Value::as_str).unwrap_or("object");
    match named {
        "integer" => json!(dice.number()),
        "number" => json!(f64::from(dice.roll(12)) / 2.0),
        "string" => json!("x".repeat(usize::from(dice.roll(4)))),
        "boolean" => json!(dice.roll(2) == 0),
        "array" => {
            let items = schema.get("items").unwrap_or(&Value::Null);
            (0..dice.roll(4)).map(|_| value(dice, document, items, depth - 1)).collect()
        }
        _ => {
            let mut map = Map::new();
            for name in NAMES {
                let declared = schema.pointer(&format!("/properties/{name}"));
                let of = declared.or_else(|| schema.get("additionalProperties")).unwrap_or(&Value::Null);
                if dice.roll(2) == 0 {
                    map.insert(name.into(), value(dice, document, of, depth - 1));
                }
            }
            map.into()
        }
    }
}

/// `schema` with every object limited to the properties it speaks of: a value that fits this as well is no
/// case of the documented exception for added optional properties.
fn closed(schema: &Value) -> Value {
    let Some(map) = schema.as_object() else {
        return if *schema == json!(true) { json!({"additionalProperties": false}) } else { json!(false) };
    };
    let mut map: Map<String, Value> = map
        .iter()
        .map(|(name, held)| {
            let held = match (name.as_str(), held) {
                ("properties" | "patternProperties" | "$defs", Value::Object(subs)) => {
                    subs.iter().map(|(key, sub)| (key.clone(), closed(sub))).collect()
                }
                ("anyOf" | "allOf" | "prefixItems", Value::Array(subs)) => subs.iter().map(closed).collect(),
                ("items" | "additionalProperties", sub) => closed(sub),
                _ => held.clone(),
            };
            (name.clone(), held)
        })
        .collect();
    // Those close the object themselves, and would refuse each other's properties.
    if !["$ref", "allOf", "anyOf"].iter().any(|keyword| map.contains_key(*keyword)) {
        map.entry("additionalProperties").or_insert(json!(false));
    }
    Value::Object(map)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn widening_never_breaks(mut dice in dice(120)) {
        let old = document(&mut dice);
        let new = widened(&mut dice, &old);
        prop_assert_eq!(broken_by(&old, &new), vec![], "{} -> {}", old, new);
    }

    #[test]
    fn the_same_written_anew_never_breaks(mut dice in dice(120)) {
        let old = document(&mut dice);
        let mut new = old.clone();
        if let Some(map) = new.as_object_mut() {
            map.insert("description".into(), json!("the same"));
        }
        prop_assert_eq!(broken_by(&old, &new), vec![], "{}", old);
    }

    #[test]
    fn compatible_schemas_accept_the_same_values(mut dice in dice(400)) {
        let old = document(&mut dice);
        let rewritten = dice.roll(4) == 0;
        let new = if rewritten { document(&mut dice) } else { changed(&mut dice, &old) };
        let (Ok(of_old), Ok(of_new)) = (Validator::compile(&old), Validator::compile(&new)) else {
            return Ok(());
        };
        // A change adds no property; a rewrite may, and so may one branch seen from another.
        let adds = rewritten || ["anyOf", "oneOf"].iter().any(|keyword| old.to_string().contains(keyword));
        let of_closed = Validator::compile(&closed(&old)).expect("closing keeps a schema valid");
        if !broken_by(&old, &new).is_empty() {
            return Ok(());
        }
        for _ in 0..30 {
            let instance = value(&mut dice, &old, &old, 5);
            if of_old.check(&instance).is_empty() && (!adds || of_closed.check(&instance).is_empty()) {
                prop_assert_eq!(of_new.check(&instance), vec![], "{} -> {}: {}", old, new, instance);
            }
        }
    }
}
