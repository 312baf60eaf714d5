//! The two documents: their references, and what their draft makes of them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value};

/// Keywords that apply a schema named elsewhere.
pub(super) const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Keywords that change nothing about what is accepted.
const ANNOTATIONS: [&str; 21] = [
    "$schema",
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$recursiveAnchor",
    "$comment",
    "$defs",
    "definitions",
    "$vocabulary",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "contentMediaType",
    "contentEncoding",
    "contentSchema",
    "id",
];

/// One schema document.
pub(super) struct Document<'a> {
    root: &'a Value,
    dialect: Dialect,
}

/// The drafts, oldest first.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Dialect {
    Draft4,
    Draft6,
    /// The last in which everything beside `$ref` is ignored.
    Draft7,
    /// The last in which a list of `items` goes by position.
    Draft2019,
    Draft2020,
}

/// Keywords that one draft knows and another ignores or reads differently, beyond those handled here.
const BOUND_TO_DRAFT: [&str; 9] = [
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "if",
    "maxContains",
    "minContains",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contains",
];
/// Keywords whose content is data, in which nothing is a schema.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];

impl<'a> Document<'a> {
    pub(super) fn of(root: &'a Value) -> Self {
        let declared = root.get("$schema").and_then(Value::as_str).unwrap_or_default();
        let dialect = match declared {
            draft if draft.contains("draft-04") => Dialect::Draft4,
            draft if draft.contains("draft-06") => Dialect::Draft6,
            draft if draft.contains("draft-07") => Dialect::Draft7,
            draft if draft.contains("2019-09") => Dialect::Draft2019,
            _ => Dialect::Draft2020,
        };
        Self { root, dialect }
    }

    /// The schema a reference of `keyword` leads to; `None` when it leads out of the document or depends on
    /// more than the document.
    pub(super) fn target(&self, keyword: &str, reference: &str) -> Option<&'a Value> {
        let fragment = reference.strip_prefix('#').filter(|_| keyword == "$ref")?;
        if fragment.is_empty() || fragment.starts_with('/') {
            return self.root.pointer(fragment).filter(|_| !fragment.contains('%'));
        }
        find(self.root, &DATA, &|map| {
            ["$anchor", "$dynamicAnchor"].iter().any(|keyword| is(map, keyword, fragment))
        })
    }

    /// Whether a schema of this document has its keywords beside `$ref` ignored.
    pub(super) fn ignores_beside_reference(&self, schema: &Map<String, Value>) -> bool {
        self.dialect <= Dialect::Draft7 && schema.contains_key("$ref")
    }

    /// Whether a schema inside the document starts a document of its own, so that references below it count
    /// from there.
    pub(super) fn has_embedded_documents(&self) -> bool {
        let keyword = if self.dialect == Dialect::Draft4 { "id" } else { "$id" };
        let starts = |map: &Map<String, Value>| map.get(keyword).is_some_and(Value::is_string);
        self.root.as_object().is_some_and(|map| map.values().any(|held| find(held, &[], &starts).is_some()))
    }

    /// Whether every keyword used in either document means the same in both.
    pub(super) fn means_the_same_as(&self, other: &Document<'a>) -> bool {
        let bound =
            |map: &Map<String, Value>| BOUND_TO_DRAFT.iter().any(|keyword| map.contains_key(*keyword));
        let neutral = |document: &Self| {
            document.dialect != Dialect::Draft4 && find(document.root, &[], &bound).is_none()
        };
        self.dialect == other.dialect || (neutral(self) && neutral(other))
    }

    /// The only value `schema` accepts, when it says so.
    pub(super) fn constant(&self, schema: &'a Map<String, Value>) -> Option<&'a Value> {
        schema.get("const").filter(|_| self.dialect > Dialect::Draft4)
    }

    /// The schemas of an array's first items, and that of the rest.
    pub(super) fn items(&self, schema: &'a Map<String, Value>) -> (&'a [Value], Option<&'a Value>) {
        let by_position =
            |keyword| schema.get(keyword).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        match schema.get("items") {
            Some(Value::Array(first)) => (first, schema.get("additionalItems")),
            rest if self.dialect == Dialect::Draft2020 => (by_position("prefixItems"), rest),
            rest => (&[], rest),
        }
    }

    /// Whether `mine`, in this document, and `theirs`, in the other, accept the same because they are
    /// written the same, annotations aside, down to what they refer to.
    pub(super) fn same(&self, mine: &'a Value, other: &Document<'a>, theirs: &'a Value) -> bool {
        self.alike(mine, other, theirs, &mut BTreeSet::new())
    }

    /// As [`Document::same`] for what two keywords of the same name hold.
    pub(super) fn same_under(
        &self,
        keyword: &str,
        mine: &'a Value,
        other: &Document<'a>,
        theirs: &'a Value,
    ) -> bool {
        self.same(mine, other, theirs)
            && self.alike_targets(keyword, mine, other, theirs, &mut BTreeSet::new())
    }

    fn alike(
        &self,
        mine: &'a Value,
        other: &Document<'a>,
        theirs: &'a Value,
        met: &mut BTreeSet<(usize, usize)>,
    ) -> bool {
        match (mine, theirs) {
            (Value::Object(one), Value::Object(two)) => {
                let relevant =
                    |map: &'a Map<String, Value>| map.iter().filter(|(name, held)| !annotates(name, held));
                relevant(one).count() == relevant(two).count()
                    && relevant(one).all(|(name, held)| {
                        two.get(name).is_some_and(|twin| {
                            if DATA.contains(&name.as_str()) {
                                return held == twin;
                            }
                            self.alike(held, other, twin, met)
                                && self.alike_targets(name, held, other, twin, met)
                        })
                    })
            }
            (Value::Array(one), Value::Array(two)) => {
                one.len() == two.len()
                    && one.iter().zip(two).all(|(one, two)| self.alike(one, other, two, met))
            }
            _ => mine == theirs,
        }
    }

    fn alike_targets(
        &self,
        keyword: &str,
        mine: &'a Value,
        other: &Document<'a>,
        theirs: &'a Value,
        met: &mut BTreeSet<(usize, usize)>,
    ) -> bool {
        let (Some(mine), Some(theirs)) = (mine.as_str(), theirs.as_str()) else { return true };
        if !REFERENCES.contains(&keyword) {
            return true;
        }
        match (self.target(keyword, mine), other.target(keyword, theirs)) {
            (Some(one), Some(two)) => {
                !met.insert((super::address(one), super::address(two))) || self.alike(one, other, two, met)
            }
            _ => is_immutable(mine),
        }
    }
}

/// A schema without keywords.
pub(super) fn nothing_said() -> &'static Map<String, Value> {
    static EMPTY: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    &EMPTY
}

/// Whether `reference` is to a published meta-schema, which never changes.
pub(super) fn is_immutable(reference: &str) -> bool {
    reference.starts_with("https://json-schema.org/draft/")
        || reference.starts_with("http://json-schema.org/draft-")
}

/// Whether `schema` accepts everything as it is written.
pub(super) fn accepts_all(schema: &Value) -> bool {
    match schema {
        Value::Bool(all) => *all,
        Value::Object(map) => map.keys().all(|keyword| ANNOTATIONS.contains(&keyword.as_str())),
        _ => false,
    }
}

/// Text only: a property that happens to have the name of an annotation holds a schema, never text.
fn annotates(name: &str, held: &Value) -> bool {
    ANNOTATIONS.contains(&name) && held.is_string()
}

fn is(map: &Map<String, Value>, keyword: &str, wanted: &str) -> bool {
    map.get(keyword).and_then(Value::as_str) == Some(wanted)
}

/// The first object in `value` that is `wanted`, not looking below the keys in `closed`.
fn find<'a>(
    value: &'a Value,
    closed: &[&str],
    wanted: &dyn Fn(&Map<String, Value>) -> bool,
) -> Option<&'a Value> {
    match value {
        Value::Object(map) if wanted(map) => Some(value),
        Value::Object(map) => map
            .iter()
            .filter(|(name, _)| !closed.contains(&name.as_str()))
            .find_map(|(_, held)| find(held, closed, wanted)),
        Value::Array(items) => items.iter().find_map(|held| find(held, closed, wanted)),
        _ => None,
    }
}
