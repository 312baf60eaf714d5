//! Is every input the old schema accepts still accepted by the new one?
//!
//! A structural comparison that answers "no" when it cannot tell: an empty answer means compatible, a
//! non-empty one that compatibility is broken or cannot be shown. It is one step more generous than the
//! letter: a property the old schema never spoke of may be added as an optional one, although an old input
//! could have carried that name with a value of another type.
//!
//! Annotations (`title`, `description`, `default`, `examples`, `format`, `content*` …) and unknown keywords do
//! not take part. Both documents must be valid schemas with nothing fetched and no endless references, as
//! admission at registration guarantees.

mod arrays;
mod choices;
mod documents;
mod facts;
mod numbers;
mod objects;
mod scalars;
mod types;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use documents::Document;
use facts::Facts;

/// The most findings one comparison reports.
const FINDINGS_MAX: usize = 32;
/// Comparisons of two schemas after which the answer is "cannot tell".
const STEPS_MAX: usize = 10_000;
/// How deep schemas are followed into each other, references included.
const DEPTH_MAX: usize = 96;

/// One place where the new schema refuses what the old one accepts, or may do so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// JSON pointer into the new schema, or to where the old keyword was when the new one lacks it.
    pub pointer: String,
    /// What is no longer accepted, for people.
    pub msg: String,
}

/// What `new` breaks of `old`: empty when every input `old` accepts is still accepted (see the module for
/// the one exception). At most 32 findings.
pub fn broken_by(old: &Value, new: &Value) -> Vec<Broken> {
    if old == new {
        return Vec::new();
    }
    let mut comparison = Comparison {
        old: Document::of(old),
        new: Document::of(new),
        found: Vec::new(),
        underway: Vec::new(),
        steps: 0,
    };
    if comparison.old.has_embedded_documents() || comparison.new.has_embedded_documents() {
        comparison.broken("", "schemas with an embedded $id are not compared");
    } else if !comparison.new.means_the_same_as(&comparison.old) {
        comparison.broken("/$schema", "the draft changed, and with it the meaning of a keyword in use");
    } else {
        comparison.compare(&[old], new, "");
    }
    comparison.found
}

/// One comparison underway.
struct Comparison<'a> {
    old: Document<'a>,
    new: Document<'a>,
    found: Vec<Broken>,
    /// Pairs (old schemas, new schema) being compared right now, by address: meeting one again means that
    /// the difference, if any, is found further up.
    underway: Vec<(Vec<usize>, usize)>,
    steps: usize,
}

impl<'a> Comparison<'a> {
    fn broken(&mut self, pointer: impl Into<String>, msg: impl Into<String>) {
        let finding = Broken { pointer: pointer.into(), msg: msg.into() };
        if self.found.len() < FINDINGS_MAX && !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }

    /// Finds what all of `old` together accept and `new`, which is at pointer `at`, does not.
    fn compare(&mut self, old: &[&'a Value], new: &'a Value, at: &str) {
        if !documents::accepts_all(new) {
            let facts = Facts::of(&self.old, old);
            self.covered(&facts, new, at);
        }
    }

    /// As [`Comparison::compare`] with the old side already spread out.
    fn covered(&mut self, old: &Facts<'a>, new: &'a Value, at: &str) {
        if documents::accepts_all(new) || old.accepts_nothing() {
            return;
        }
        let pair = (old.addresses(), address(new));
        if self.underway.contains(&pair) {
            return;
        }
        if self.underway.len() >= DEPTH_MAX || self.steps >= STEPS_MAX {
            self.broken(at, "too complex to compare");
            return;
        }
        self.underway.push(pair);
        self.against(old, new, at);
        self.underway.pop();
    }

    /// Compares once as a whole and, where that fails, each branch of an old `anyOf` or `oneOf` on its own.
    fn against(&mut self, old: &Facts<'a>, new: &'a Value, at: &str) {
        self.steps += 1;
        let Some(map) = new.as_object() else {
            self.broken(at, "nothing is accepted any more");
            return;
        };
        let whole = self.trial(|this| this.schema(old, map, at));
        if whole.is_empty()
            || old.unsplit().into_iter().any(|branches| self.each_accepted(old, branches, new, at))
        {
            return;
        }
        self.found.extend(whole);
        self.found.truncate(FINDINGS_MAX);
    }

    fn each_accepted(&mut self, old: &Facts<'a>, branches: &'a [Value], new: &'a Value, at: &str) -> bool {
        branches.iter().all(|branch| {
            let narrowed = old.with(&self.old, branches, branch);
            self.trial(|this| this.covered(&narrowed, new, at)).is_empty()
        })
    }

    /// Every keyword of the new schema on its own: all of them have to hold.
    fn schema(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, at: &str) {
        self.references(old, new, at);
        if self.new.ignores_beside_reference(new) {
            return;
        }
        self.scalars(old, new, at);
        self.choices(old, new, at);
        if old.may_be(types::OBJECT) {
            self.objects(old, new, at);
        }
        if old.may_be(types::ARRAY) {
            self.arrays(old, new, at);
        }
    }

    fn references(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, at: &str) {
        for keyword in documents::REFERENCES {
            let Some(reference) = new.get(keyword).and_then(Value::as_str) else { continue };
            let pointer = format!("{at}/{keyword}");
            if let Some(target) = self.new.target(keyword, reference) {
                self.covered(old, target, &pointer);
            } else if !(documents::is_immutable(reference)
                && old.any(|fact| fact.get(keyword) == new.get(keyword)))
            {
                self.broken(pointer, format!("'{reference}' is not followed, so it cannot be compared"));
            }
        }
    }

    /// Refuses `keyword` of the new schema unless some old fact has it written the same.
    fn unchanged(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, keyword: &str, at: &str) {
        if !new.get(keyword).is_none_or(documents::accepts_all) && !self.kept(old, new, keyword) {
            let msg = format!("'{keyword}' is new or changed, and only equal ones are comparable");
            self.broken(step(at, keyword), msg);
        }
    }

    /// Whether some old fact has `keyword` written as the new schema has it.
    fn kept(&self, old: &Facts<'a>, new: &'a Map<String, Value>, keyword: &str) -> bool {
        let Some(rule) = new.get(keyword) else { return false };
        old.any(|fact| fact.get(keyword).is_some_and(|was| self.new.same(rule, &self.old, was)))
    }

    /// What `work` finds, without keeping it.
    fn trial(&mut self, work: impl FnOnce(&mut Self)) -> Vec<Broken> {
        let kept = std::mem::take(&mut self.found);
        work(self);
        std::mem::replace(&mut self.found, kept)
    }
}

fn address<T>(of: &T) -> usize {
    std::ptr::from_ref(of) as usize
}

/// `at` with one more step, escaped.
fn step(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}
