//! Keywords that combine schemas for the same value.

use serde_json::{Map, Value};

use super::facts::Facts;
use super::{Comparison, step};

impl<'a> Comparison<'a> {
    pub(super) fn choices(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, at: &str) {
        for (index, branch) in branches(new, "allOf").iter().enumerate() {
            self.covered(old, branch, &format!("{at}/allOf/{index}"));
        }
        let any = branches(new, "anyOf");
        let fits = |this: &mut Self, branch| this.trial(|this| this.covered(old, branch, at)).is_empty();
        if !any.is_empty() && !any.iter().any(|branch| fits(self, branch)) && !self.kept(old, new, "anyOf") {
            self.broken(step(at, "anyOf"), "no branch accepts all that was accepted");
        }
        self.unchanged(old, new, "oneOf", at);
        self.unchanged(old, new, "not", at);
        self.conditions(old, new, at);
    }

    fn conditions(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, at: &str) {
        let Some(condition) = new.get("if") else { return };
        for keyword in ["then", "else"] {
            let Some(rule) = new.get(keyword) else { continue };
            let same = |fact: &'a Map<String, Value>, keyword: &str, now| {
                fact.get(keyword).is_some_and(|was| self.new.same(now, &self.old, was))
            };
            if !old.any(|fact| same(fact, "if", condition) && same(fact, keyword, rule)) {
                self.broken(
                    step(at, keyword),
                    "the condition is new or changed, and only equal ones are comparable",
                );
            }
        }
    }
}

fn branches<'a>(schema: &'a Map<String, Value>, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
