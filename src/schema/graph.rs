//! Which schema of a document applies which: the shape that decides what a check may cost.
//!
//! References are followed here without the compiler's care for every rule of resolution: where a name is
//! ambiguous all candidates count, so that costs are over- rather than underestimated.

mod build;
mod order;

use serde_json::Value;

use super::admission::Inadmissible;

/// How many schemas may be applied to one value in a row, each by the one before.
const CHAIN_MAX: usize = 256;
/// How many schemas a schema may come to when every reference outside a cycle is written out.
const UNFOLDED_MAX: usize = 100_000;

/// The schemas of one document and how they reach each other; the first is the root.
#[derive(Debug)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    longest_chain: usize,
    recursive: bool,
}

#[derive(Debug, Default)]
struct Node {
    pointer: String,
    edges: Vec<Edge>,
}

#[derive(Debug)]
struct Edge {
    to: usize,
    reach: Reached,
}

#[derive(Debug, Clone, PartialEq)]
enum Reached {
    Same,
    Property(String),
    AnyChild,
}

impl Graph {
    /// The graph of `schema`.
    ///
    /// # Errors
    /// When a local reference leads nowhere or, without a deeper value in between, back to itself; or when
    /// checking against the schema could cost too much.
    pub(super) fn of(schema: &Value) -> Result<Self, Inadmissible> {
        let nodes = build::nodes(schema)?;
        let cycles = order::cycles(&nodes);
        if let Some(endless) = order::endless(&nodes) {
            let msg = "this schema applies itself to the same value, again and again";
            return Err(Inadmissible::new("endless_ref", &nodes[endless].pointer, msg));
        }
        let longest_chain = order::longest_chain(&nodes);
        if longest_chain > CHAIN_MAX || order::unfolded(&nodes, &cycles) > UNFOLDED_MAX {
            let msg = "too many references, one behind the other or written out";
            return Err(Inadmissible::new("schema_too_complex", "", msg));
        }
        let recursive = order::is_recursive(&nodes, &cycles);
        Ok(Self { nodes, longest_chain, recursive })
    }

    /// The most schemas applied to one value in a row.
    pub(super) fn longest_chain(&self) -> usize {
        self.longest_chain
    }

    /// Whether some schema contains itself.
    pub(super) fn is_recursive(&self) -> bool {
        self.recursive
    }

    /// Whether applying every schema to everything it reaches in `instance` takes at most `steps`.
    pub(super) fn fits(&self, instance: &Value, mut steps: usize) -> bool {
        self.spend(0, instance, &mut steps)
    }

    fn spend(&self, node: usize, instance: &Value, steps: &mut usize) -> bool {
        let Some(left) = steps.checked_sub(1) else { return false };
        *steps = left;
        self.nodes[node].edges.iter().all(|edge| match (&edge.reach, instance) {
            (Reached::Same, _) => self.spend(edge.to, instance, steps),
            (Reached::Property(name), Value::Object(map)) => {
                map.get(name).is_none_or(|child| self.spend(edge.to, child, steps))
            }
            (Reached::AnyChild, Value::Object(map)) => {
                map.values().all(|child| self.spend(edge.to, child, steps))
            }
            (Reached::AnyChild, Value::Array(items)) => {
                items.iter().all(|child| self.spend(edge.to, child, steps))
            }
            _ => true,
        })
    }
}
