//! Keywords about the properties of an object.

use serde_json::{Map, Value};

use super::facts::Facts;
use super::{Comparison, documents, step};

/// Keywords that decide which properties or items count as evaluated, `properties` aside.
const EVALUATING: [&str; 19] = [
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "dependencies",
    "dependentSchemas",
    "else",
    "if",
    "items",
    "minContains",
    "not",
    "oneOf",
    "patternProperties",
    "prefixItems",
    "then",
];

impl<'a> Comparison<'a> {
    pub(super) fn objects(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, at: &str) {
        for (index, name) in strings(new, "required").enumerate() {
            if !requires(old, name) {
                self.broken(format!("{at}/required/{index}"), format!("'{name}' is newly required"));
            }
        }
        for (name, schema) in entries(new, "properties") {
            self.property(old, name, schema, &step(&step(at, "properties"), name));
        }
        self.patterns(old, new, at);
        self.additional(old, new, at);
        for keyword in ["propertyNames", "dependentRequired", "dependentSchemas", "dependencies"] {
            self.unchanged(old, new, keyword, at);
        }
        self.unevaluated(old, new, "unevaluatedProperties", at);
    }

    fn property(&mut self, old: &Facts<'a>, name: &'a str, new: &'a Value, at: &str) {
        let was = says_of(old, name);
        if !was.is_empty() || requires(old, name) {
            self.compare(&was, new, at);
            return;
        }
        // Nobody spoke of it: it is a new optional property, unless only certain names were accepted at all.
        for fact in old.all() {
            if fact.get("additionalProperties") == Some(&Value::Bool(false)) {
                for (_, schema) in entries(fact, "patternProperties") {
                    self.compare(&[schema], new, at);
                }
            }
        }
    }

    fn patterns(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, at: &str) {
        for (pattern, schema) in entries(new, "patternProperties") {
            let at = step(&step(at, "patternProperties"), pattern);
            let twins = old.all().iter().filter_map(|fact| fact.get("patternProperties")?.get(pattern));
            let twins: Vec<&Value> = twins.collect();
            if twins.is_empty() {
                // Which names match is not judged here, so every property has to fit.
                self.by_best_fact(old, |this, fact| this.everything(old, fact, &Map::new(), schema, &at));
            } else {
                self.compare(&twins, schema, &at);
            }
        }
    }

    fn additional(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, at: &str) {
        let Some(rest) = new.get("additionalProperties") else { return };
        self.by_best_fact(old, |this, fact| this.everything(old, fact, new, rest, at));
    }

    /// Compares all properties `fact` admits with `new`, those `except` speaks of by name or pattern aside.
    fn everything(
        &mut self,
        old: &Facts<'a>,
        fact: &'a Map<String, Value>,
        except: &Map<String, Value>,
        new: &'a Value,
        at: &str,
    ) {
        let spoken = |keyword: &str, name: &str| {
            except.get(keyword).is_some_and(|named: &Value| named.get(name).is_some())
        };
        // A removed property is pointed at where it was.
        let gone = !except.is_empty();
        let place =
            |keyword: &str, name: &str| if gone { step(&step(at, keyword), name) } else { at.to_owned() };
        for (name, _) in entries(fact, "properties").filter(|(name, _)| !spoken("properties", name)) {
            self.compare(&says_of(old, name), new, &place("properties", name));
        }
        for (pattern, schema) in
            entries(fact, "patternProperties").filter(|(name, _)| !spoken("patternProperties", name))
        {
            self.compare(&[schema], new, &place("patternProperties", pattern));
        }
        let rest: Vec<&Value> = fact.get("additionalProperties").into_iter().collect();
        self.compare(&rest, new, &if gone { step(at, "additionalProperties") } else { at.to_owned() });
    }

    /// One old schema that implies the rule is enough; the findings against the closest one are reported.
    fn by_best_fact(&mut self, old: &Facts<'a>, mut check: impl FnMut(&mut Self, &'a Map<String, Value>)) {
        let mut best = None;
        for &fact in old.all().iter().filter(|fact| speaks_of_properties(fact)) {
            let found = self.trial(|this| check(this, fact));
            if best.as_ref().is_none_or(|best: &Vec<_>| found.len() < best.len()) {
                best = Some(found);
            }
        }
        let best = best.unwrap_or_else(|| self.trial(|this| check(this, documents::nothing_said())));
        for finding in best {
            self.broken(finding.pointer, finding.msg);
        }
    }

    /// What counts as evaluated depends on the whole schema, so only more properties may be added to it.
    pub(super) fn unevaluated(
        &mut self,
        old: &Facts<'a>,
        new: &'a Map<String, Value>,
        keyword: &str,
        at: &str,
    ) {
        if new.get(keyword).is_none_or(documents::accepts_all) {
            return;
        }
        let same = |fact: &'a Map<String, Value>, keyword: &str| match (new.get(keyword), fact.get(keyword)) {
            (Some(now), Some(was)) => self.new.same_under(keyword, now, &self.old, was),
            (now, was) => now.is_none() && was.is_none(),
        };
        let implied = |fact: &'a Map<String, Value>| {
            same(fact, keyword)
                && EVALUATING.iter().all(|keyword| same(fact, keyword))
                && entries(fact, "properties")
                    .all(|(name, _)| new.get("properties").is_some_and(|now| now.get(name).is_some()))
        };
        if !old.any(implied) {
            self.broken(step(at, keyword), format!("'{keyword}' is new, or what it applies to changed"));
        }
    }
}

/// What the old schemas say of the property `name`. A schema whose patterns may speak of it says nothing here:
/// fewer facts are the safe side.
fn says_of<'a>(old: &Facts<'a>, name: &str) -> Vec<&'a Value> {
    let says = |fact: &&'a Map<String, Value>| {
        let declared = fact.get("properties").and_then(|properties| properties.get(name));
        let open = entries(fact, "patternProperties").next().is_some();
        let rest = fact.get("additionalProperties").filter(|rest| !open && !documents::accepts_all(rest));
        declared.or(rest)
    };
    old.all().iter().filter_map(says).collect()
}

fn requires(old: &Facts<'_>, name: &str) -> bool {
    old.any(|fact| strings(fact, "required").any(|required| required == name))
}

fn speaks_of_properties(fact: &Map<String, Value>) -> bool {
    ["properties", "patternProperties", "additionalProperties"]
        .iter()
        .any(|keyword| fact.contains_key(*keyword))
}

fn strings<'a>(schema: &'a Map<String, Value>, keyword: &str) -> impl Iterator<Item = &'a str> {
    schema.get(keyword).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn entries<'a>(schema: &'a Map<String, Value>, keyword: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let map = schema.get(keyword).and_then(Value::as_object);
    map.into_iter().flatten().map(|(name, held)| (name.as_str(), held))
}
