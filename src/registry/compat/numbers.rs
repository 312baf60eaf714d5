//! Bounds that may only widen.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::facts::Facts;
use super::{Comparison, step, types};

/// Keywords that count something: of which type, whether they are lower bounds, and what a value counts.
type Count = (&'static str, u8, bool, fn(&Value) -> Option<usize>);
const COUNTS: [Count; 6] = [
    ("minLength", types::STRING, true, |value| value.as_str().map(|text| text.chars().count())),
    ("maxLength", types::STRING, false, |value| value.as_str().map(|text| text.chars().count())),
    ("minItems", types::ARRAY, true, |value| value.as_array().map(Vec::len)),
    ("maxItems", types::ARRAY, false, |value| value.as_array().map(Vec::len)),
    ("minProperties", types::OBJECT, true, |value| value.as_object().map(Map::len)),
    ("maxProperties", types::OBJECT, false, |value| value.as_object().map(Map::len)),
];

impl<'a> Comparison<'a> {
    pub(super) fn numbers(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, at: &str) {
        for (keyword, of, lower, measure) in COUNTS {
            let Some(bound) = new.get(keyword).and_then(Value::as_f64) else { continue };
            let within = |count: f64| if lower { count >= bound } else { count <= bound };
            let known =
                |fact: &Map<String, Value>| fact.get(keyword).and_then(Value::as_f64).is_some_and(within);
            #[expect(clippy::cast_precision_loss, reason = "no text or array has 2^53 parts")]
            let fits = |value: &Value| measure(value).is_none_or(|count| within(count as f64));
            let refuses_none = lower && bound <= 0.0;
            if !refuses_none && old.may_be(of) && !old.any(known) && !old.each_value(fits) {
                self.broken(step(at, keyword), format!("{keyword} {bound} refuses what was accepted"));
            }
        }
        if old.may_be(types::NUMBER) {
            self.range(old, new, at);
            self.multiples(old, new, at);
        }
    }

    fn range(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, at: &str) {
        for side in [LOWER, UPPER] {
            for limit in side.limits(new) {
                let known = old.any(|fact| side.limits(fact).iter().any(|was| side.implies(was, &limit)));
                let fits = |value: &Value| value.as_number().is_none_or(|number| side.admits(&limit, number));
                if !known && !old.each_value(fits) {
                    let msg = format!("{} {} refuses what was accepted", limit.keyword, limit.value);
                    self.broken(step(at, limit.keyword), msg);
                }
            }
        }
    }

    fn multiples(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, at: &str) {
        let Some(factor) = new.get("multipleOf").and_then(Value::as_number) else { return };
        let whole = factor.as_f64() == Some(1.0) && types::only_whole(old.types());
        let was = |fact: &Map<String, Value>| fact.get("multipleOf").and_then(Value::as_number).cloned();
        let known = old.any(|fact| was(fact).is_some_and(|was| divides(factor, &was)));
        let fits = |value: &Value| value.as_number().is_none_or(|number| divides(factor, number));
        if !whole && !known && !old.each_value(fits) {
            self.broken(step(at, "multipleOf"), format!("multipleOf {factor} refuses what was accepted"));
        }
    }
}

/// One end of a range of numbers.
struct Limit<'a> {
    keyword: &'static str,
    value: &'a Number,
    exclusive: bool,
}

/// Which end: its keywords, and how a number within compares with the limit.
struct Side {
    inclusive: &'static str,
    exclusive: &'static str,
    within: Ordering,
}

const LOWER: Side = Side { inclusive: "minimum", exclusive: "exclusiveMinimum", within: Ordering::Greater };
const UPPER: Side = Side { inclusive: "maximum", exclusive: "exclusiveMaximum", within: Ordering::Less };

impl Side {
    fn limits<'a>(&self, schema: &'a Map<String, Value>) -> Vec<Limit<'a>> {
        // In draft 4 the exclusive keyword is a flag of the other.
        let flag = schema.get(self.exclusive) == Some(&Value::Bool(true));
        [(self.inclusive, flag), (self.exclusive, true)]
            .into_iter()
            .filter_map(|(keyword, exclusive)| {
                let value = schema.get(keyword)?.as_number()?;
                Some(Limit { keyword, value, exclusive })
            })
            .collect()
    }

    /// Whether every number `was` admits, `limit` admits too.
    fn implies(&self, was: &Limit<'_>, limit: &Limit<'_>) -> bool {
        let order = compare(was.value, limit.value);
        order == Some(self.within) || (order == Some(Ordering::Equal) && (was.exclusive || !limit.exclusive))
    }

    fn admits(&self, limit: &Limit<'_>, number: &Number) -> bool {
        self.implies(&Limit { keyword: limit.keyword, value: number, exclusive: false }, limit)
    }
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn compare(one: &Number, two: &Number) -> Option<Ordering> {
    match (whole(one), whole(two)) {
        (Some(one), Some(two)) => Some(one.cmp(&two)),
        _ => one.as_f64()?.partial_cmp(&two.as_f64()?),
    }
}

/// Whether `number` is a multiple of `factor`. Of fractions only what a small exact quotient shows.
fn divides(factor: &Number, number: &Number) -> bool {
    match (whole(factor), whole(number)) {
        (Some(factor), Some(number)) => factor != 0 && number % factor == 0,
        _ => {
            let quotient =
                number.as_f64().zip(factor.as_f64()).map_or(f64::NAN, |(number, factor)| number / factor);
            quotient.fract() == 0.0 && quotient.abs() <= 1e6
        }
    }
}
