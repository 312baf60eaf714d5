//! All that is known of an old value: the schemas that hold at once, spread out.

use serde_json::{Map, Value};

use super::documents::Document;
use super::{address, types};

static NULL: Value = Value::Null;
static FALSE: Value = Value::Bool(false);
static TRUE: Value = Value::Bool(true);

/// Old schemas that all hold for the value in question: `allOf` and `$ref` are followed into it.
#[derive(Clone)]
pub(super) struct Facts<'a> {
    facts: Vec<&'a Map<String, Value>>,
    /// Whether one of them is `false`.
    refused: bool,
    types: u8,
    /// Lists that each name all values there can be. They are kept apart, since telling which values are in
    /// all of them takes JSON Schema's equality of numbers.
    lists: Vec<Vec<&'a Value>>,
    /// Lists of branches of which one was already chosen, by address.
    split: Vec<usize>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(document: &Document<'a>, schemas: &[&'a Value]) -> Self {
        let mut facts = Self {
            facts: Vec::new(),
            refused: false,
            types: types::ALL,
            lists: Vec::new(),
            split: Vec::new(),
        };
        for schema in schemas {
            facts.spread(document, schema);
        }
        facts.settle(document);
        facts
    }

    /// These facts when `branch`, one of `branches`, holds as well.
    pub(super) fn with(&self, document: &Document<'a>, branches: &'a [Value], branch: &'a Value) -> Self {
        let mut facts = self.clone();
        facts.split.push(branches.as_ptr() as usize);
        facts.spread(document, branch);
        facts.settle(document);
        facts
    }

    fn spread(&mut self, document: &Document<'a>, schema: &'a Value) {
        let Some(map) = schema.as_object() else {
            self.refused |= *schema == Value::Bool(false);
            return;
        };
        if self.facts.iter().any(|known| std::ptr::eq(*known, map)) {
            return;
        }
        if !document.ignores_beside_reference(map) {
            self.facts.push(map);
            for branch in map.get("allOf").and_then(Value::as_array).into_iter().flatten() {
                self.spread(document, branch);
            }
        }
        let reference = map.get("$ref").and_then(Value::as_str);
        if let Some(target) = reference.and_then(|reference| document.target("$ref", reference)) {
            self.spread(document, target);
        }
    }

    fn settle(&mut self, document: &Document<'a>) {
        self.types = self.facts.iter().fold(types::ALL, |set, fact| set & allowed(document, fact));
        for branches in self.unsplit() {
            let any = branches.iter().fold(0, |set, branch| {
                set | branch.as_object().map_or(types::ALL, |map| allowed(document, map))
            });
            self.types &= any;
        }
        self.lists = self.facts.iter().filter_map(|fact| listed(document, fact)).collect();
        if self.types & !(types::NULL | types::BOOLEAN) == 0 {
            self.lists.push(vec![&NULL, &FALSE, &TRUE]);
        }
        for list in &mut self.lists {
            list.retain(|value| types::of(value) & self.types != 0);
            self.types &= list.iter().fold(0, |set, value| set | types::of(value));
        }
    }

    /// Whether no value can be meant.
    pub(super) fn accepts_nothing(&self) -> bool {
        self.refused || self.types == 0
    }

    /// The types the value may have.
    pub(super) fn types(&self) -> u8 {
        self.types
    }

    /// Whether the value may be of one of `types`.
    pub(super) fn may_be(&self, types: u8) -> bool {
        self.types & types != 0
    }

    /// Whether all values are known and `holds` for each.
    pub(super) fn each_value(&self, holds: impl Fn(&Value) -> bool) -> bool {
        self.lists.iter().any(|list| list.iter().all(|value| holds(value)))
    }

    /// Whether one fact is as asked.
    pub(super) fn any(&self, is: impl Fn(&'a Map<String, Value>) -> bool) -> bool {
        self.facts.iter().any(|fact| is(fact))
    }

    /// The facts themselves.
    pub(super) fn all(&self) -> &[&'a Map<String, Value>] {
        &self.facts
    }

    /// Branches of which one must hold and none was chosen yet.
    pub(super) fn unsplit(&self) -> Vec<&'a [Value]> {
        let lists = self.facts.iter().flat_map(|fact| ["anyOf", "oneOf"].map(|keyword| fact.get(keyword)));
        let lists = lists.flatten().filter_map(Value::as_array).map(Vec::as_slice);
        lists.filter(|list| !list.is_empty() && !self.split.contains(&(list.as_ptr() as usize))).collect()
    }

    /// What identifies these facts.
    pub(super) fn addresses(&self) -> Vec<usize> {
        let mut addresses: Vec<usize> = self.facts.iter().map(|fact| address(*fact)).collect();
        addresses.extend(&self.split);
        addresses.sort_unstable();
        addresses
    }
}

fn allowed<'a>(document: &Document<'a>, fact: &'a Map<String, Value>) -> u8 {
    if document.ignores_beside_reference(fact) {
        return types::ALL;
    }
    let listed = listed(document, fact);
    let listed =
        listed.map_or(types::ALL, |values| values.iter().fold(0, |set, value| set | types::of(value)));
    fact.get("type").map_or(types::ALL, types::named) & listed
}

fn listed<'a>(document: &Document<'a>, fact: &'a Map<String, Value>) -> Option<Vec<&'a Value>> {
    let constant = document.constant(fact).map(|value| vec![value]);
    constant.or_else(|| fact.get("enum").and_then(Value::as_array).map(|values| values.iter().collect()))
}
