//! From a document to its graph.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::admission::{self, Inadmissible};
use super::super::keywords::{self, Reach};
use super::{Edge, Node, Reached};

const META_SCHEMAS: [&str; 2] = ["https://json-schema.org/draft/", "http://json-schema.org/draft-"];
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// The graph while it grows: `nodes[i]` is the schema at `places[i]`.
struct Building<'a> {
    document: &'a Value,
    nodes: Vec<Node>,
    places: Vec<Place<'a>>,
    by_pointer: BTreeMap<String, usize>,
    patterns: usize,
}

#[derive(Clone)]
struct Place<'a> {
    schema: &'a Value,
    /// Pointer of the schema whose `$id` local references count from.
    base: String,
}

/// Every schema of `document`, the unused definitions included, and what references lead to.
pub(super) fn nodes(document: &Value) -> Result<Vec<Node>, Inadmissible> {
    let mut building = Building {
        document,
        nodes: Vec::new(),
        places: Vec::new(),
        by_pointer: BTreeMap::new(),
        patterns: 0,
    };
    building.node(String::new(), Place { schema: document, base: String::new() });
    // References may lead to places that are no schema by their keyword, which then become nodes in turn.
    let (mut walked, mut linked) = (0, 0);
    while linked < building.nodes.len() {
        while walked < building.nodes.len() {
            building.walk(walked)?;
            walked += 1;
        }
        building.link(linked)?;
        linked += 1;
    }
    Ok(building.nodes)
}

impl<'a> Building<'a> {
    fn node(&mut self, pointer: String, mut place: Place<'a>) -> usize {
        if let Some(&known) = self.by_pointer.get(&pointer) {
            return known;
        }
        if identity(place.schema).is_some_and(|id| !id.starts_with('#')) {
            place.base.clone_from(&pointer);
        }
        let index = self.nodes.len();
        self.by_pointer.insert(pointer.clone(), index);
        self.nodes.push(Node { pointer, edges: Vec::new() });
        self.places.push(place);
        index
    }

    fn walk(&mut self, from: usize) -> Result<(), Inadmissible> {
        let Place { schema, base } = self.places[from].clone();
        let Some(map) = schema.as_object() else { return Ok(()) };
        let pointer = self.nodes[from].pointer.clone();
        admission::patterns(map, &pointer, &mut self.patterns)?;
        for (below, reach, sub) in keywords::subschemas(map) {
            let to = self.node(format!("{pointer}{below}"), Place { schema: sub, base: base.clone() });
            let reach = match reach {
                Reach::SameValue => Reached::Same,
                Reach::Property(name) => Reached::Property(name.to_owned()),
                Reach::AnyChild => Reached::AnyChild,
                Reach::OnlyByReference => continue,
            };
            self.nodes[from].edges.push(Edge { to, reach });
        }
        Ok(())
    }

    fn link(&mut self, from: usize) -> Result<(), Inadmissible> {
        let Place { schema, base } = self.places[from].clone();
        let Some(map) = schema.as_object() else { return Ok(()) };
        for keyword in REFERENCES {
            let Some(reference) = map.get(keyword).and_then(Value::as_str) else { continue };
            let targets = self.targets(reference, &base);
            // The meta-schemas are compiled in; nothing else is ever fetched.
            if targets.is_empty() && !META_SCHEMAS.iter().any(|prefix| reference.starts_with(prefix)) {
                let pointer = format!("{}/{keyword}", self.nodes[from].pointer);
                let msg = format!("'{reference}' leads to nothing in this schema, and nothing is fetched");
                return Err(Inadmissible::new("unresolvable_ref", pointer, msg));
            }
            let edges = targets.into_iter().map(|to| Edge { to, reach: Reached::Same });
            self.nodes[from].edges.extend(edges);
        }
        Ok(())
    }

    fn targets(&mut self, reference: &str, base: &str) -> Vec<usize> {
        let (resource, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let fragment = decoded(fragment);
        if !fragment.is_empty() && !fragment.starts_with('/') {
            return self.named(&fragment);
        }
        let mut bases = self.resources(resource);
        if resource.is_empty() {
            // The document too: `id` is the base in draft 4 only, and any word after it.
            bases = vec![base.to_owned(), String::new()];
            bases.dedup();
        }
        bases.into_iter().filter_map(|base| self.pointed(base, &fragment)).collect()
    }

    fn pointed(&mut self, base: String, fragment: &str) -> Option<usize> {
        let pointer = format!("{base}{fragment}");
        let schema = self.document.pointer(&pointer)?;
        Some(self.node(pointer, Place { schema, base }))
    }

    /// Schemas whose anchor is `name`, by any of the spellings of the drafts.
    fn named(&self, name: &str) -> Vec<usize> {
        let is = |map: &Map<String, Value>, keyword: &str, wanted: &str| {
            map.get(keyword).and_then(Value::as_str).is_some_and(|found| found == wanted)
        };
        let hashed = format!("#{name}");
        self.where_schema(|map| {
            is(map, "$anchor", name)
                || is(map, "$dynamicAnchor", name)
                || is(map, "$id", &hashed)
                || is(map, "id", &hashed)
        })
    }

    /// Pointers of the schemas whose `$id` ends as `reference` does.
    fn resources(&self, reference: &str) -> Vec<String> {
        let found = self.places.iter().enumerate();
        let found =
            found.filter(|(_, place)| identity(place.schema).is_some_and(|id| last(id) == last(reference)));
        found.map(|(index, _)| self.nodes[index].pointer.clone()).collect()
    }

    fn where_schema(&self, wanted: impl Fn(&Map<String, Value>) -> bool) -> Vec<usize> {
        let schemas = self.places.iter().enumerate();
        schemas
            .filter(|(_, place)| place.schema.as_object().is_some_and(&wanted))
            .map(|(index, _)| index)
            .collect()
    }
}

fn identity(schema: &Value) -> Option<&str> {
    schema.get("$id").or_else(|| schema.get("id"))?.as_str()
}

fn last(uri: &str) -> &str {
    let path = uri.split('#').next().unwrap_or(uri);
    path.rsplit(['/', ':']).next().unwrap_or(path)
}

/// A URI fragment without its percent-encoding.
fn decoded(fragment: &str) -> String {
    if !fragment.contains('%') {
        return fragment.to_owned();
    }
    let mut bytes = fragment.as_bytes().iter();
    let mut plain = Vec::with_capacity(fragment.len());
    while let Some(&byte) = bytes.next() {
        let rest = bytes.as_slice();
        let hex = rest.get(..2).filter(|_| byte == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(escaped) => {
                plain.push(escaped);
                bytes.nth(1);
            }
            None => plain.push(byte),
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}
