//! One compiled schema.

use std::thread;

use serde_json::Value;

use super::admission::{self, Inadmissible};
use super::graph::Graph;
use super::violation::{self, Violation};

/// Stack for compiling: schemas are shallow, but a chain of references is as deep as the schema is long.
const COMPILE_STACK_BYTES: usize = 64 * 1024 * 1024;
/// Stack one schema applied to one value takes while it is checked, generously, in a debug build.
const STEP_STACK_BYTES: usize = 4 * 1024;
/// Checks that may need more stack than this run on a thread of their own.
const BORROWED_STACK_BYTES: usize = 512 * 1024;
/// Steps of listing violations beyond which only the first is looked for.
const LISTING_STEPS_MAX: usize = 200_000;

/// A compiled schema. Checks are pure, run concurrently, and never fetch anything.
#[derive(Debug)]
pub struct Validator {
    open: bool,
    graph: Graph,
    compiled: jsonschema::Validator,
}

impl Validator {
    /// Compiles `schema` under its `$schema` (2020-12 when it names none).
    ///
    /// # Errors
    /// When the schema is not admissible: not a valid schema of its draft, an unknown draft, a reference that
    /// leads nowhere or out of the document, a bad regular expression, or beyond the bounds of this room.
    pub fn compile(schema: &Value) -> Result<Self, Inadmissible> {
        let draft = admission::outline(schema)?;
        let build = || {
            let graph = Graph::of(schema)?;
            let compiled = admission::compile(schema, draft)?;
            let open =
                schema.as_bool().unwrap_or_else(|| schema.as_object().is_some_and(|map| map.is_empty()));
            Ok(Self { open, graph, compiled })
        };
        // A panic of the compiler ends that thread only, and refuses the schema.
        on_stack(COMPILE_STACK_BYTES, build).unwrap_or_else(|| {
            Err(Inadmissible::new("schema_error", "", "this schema could not be compiled"))
        })
    }

    /// Everything `instance` breaks, ordered by place; empty when it is valid.
    ///
    /// At most [`VIOLATIONS_MAX`](super::VIOLATIONS_MAX) are reported. For a value so large that listing them
    /// would take long it is the first one only, or one of kind `too_complex` when the schema is recursive.
    pub fn check(&self, instance: &Value) -> Vec<Violation> {
        if self.open {
            return Vec::new();
        }
        let needed = self.graph.longest_chain() * (depth(instance) + 1) * STEP_STACK_BYTES;
        if needed <= BORROWED_STACK_BYTES {
            return self.violations(instance);
        }
        on_stack(needed + BORROWED_STACK_BYTES, || self.violations(instance))
            .unwrap_or_else(|| vec![Violation::of_whole("too_complex", "this value could not be checked")])
    }

    /// Whether the schema accepts everything (`{}` or `true`), so that there is nothing to check.
    pub fn is_open(&self) -> bool {
        self.open
    }

    fn violations(&self, instance: &Value) -> Vec<Violation> {
        if self.compiled.is_valid(instance) {
            return Vec::new();
        }
        if self.graph.fits(instance, LISTING_STEPS_MAX) {
            return violation::ordered(instance, self.compiled.iter_errors(instance));
        }
        if self.graph.is_recursive() {
            let msg = "does not fit its schema, in too many places and ways to list";
            return vec![Violation::of_whole("too_complex", msg)];
        }
        violation::ordered(instance, self.compiled.validate(instance).err().into_iter())
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Runs `work` on a thread with `bytes` of stack; `None` when there is no such thread or it panicked.
fn on_stack<T: Send>(bytes: usize, work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(bytes).spawn_scoped(scope, work).ok()?;
        thread.join().ok()
    })
}
