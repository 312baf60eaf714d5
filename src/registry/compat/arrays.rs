//! Keywords about the items of an array.

use serde_json::{Map, Value};

use super::facts::Facts;
use super::{Comparison, step};

impl<'a> Comparison<'a> {
    pub(super) fn arrays(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, at: &str) {
        let (first, rest) = self.new.items(new);
        // With a list in `items` the rest goes by another name.
        let (first_name, rest_name) = if new.get("items").is_some_and(Value::is_array) {
            ("items", "additionalItems")
        } else {
            ("prefixItems", "items")
        };
        for (index, item) in first.iter().enumerate() {
            let was = self.items_at(old, index);
            self.compare(&was, item, &format!("{at}/{first_name}/{index}"));
        }
        if let Some(rest) = rest {
            let listed = old.all().iter().map(|fact| self.old.items(fact).0.len()).max().unwrap_or(0);
            for index in first.len()..=listed.max(first.len()) {
                let was = self.items_at(old, index);
                self.compare(&was, rest, &step(at, rest_name));
            }
        }
        self.contains(old, new, at);
        self.unevaluated(old, new, "unevaluatedItems", at);
    }

    /// What the old schemas say of the item at `index`.
    fn items_at(&self, old: &Facts<'a>, index: usize) -> Vec<&'a Value> {
        let says = |fact: &&'a Map<String, Value>| {
            let (first, rest) = self.old.items(fact);
            first.get(index).or(rest)
        };
        old.all().iter().filter_map(says).collect()
    }

    fn contains(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, at: &str) {
        let Some(contained) = new.get("contains") else { return };
        let least =
            |schema: &Map<String, Value>| schema.get("minContains").and_then(Value::as_f64).unwrap_or(1.0);
        let most = |schema: &Map<String, Value>| {
            schema.get("maxContains").and_then(Value::as_f64).unwrap_or(f64::MAX)
        };
        let implied = |fact: &'a Map<String, Value>| {
            fact.get("contains").is_some_and(|was| self.new.same(contained, &self.old, was))
                && least(fact) >= least(new)
                && most(fact) <= most(new)
        };
        if !old.any(implied) {
            self.broken(step(at, "contains"), "what an array must contain is new or changed");
        }
    }
}
