//! Specs in memory: one copy of each, however often it is read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::{Deserialize, Deserializer};

use super::Spec;

/// Names with no spec left are forgotten once there are this many more names than when that was last done.
const FORGOTTEN_AFTER: usize = 1_000;

/// The specs that this process holds, by type. A replica has most of them twice: in the state of the registry workflow that it
/// runs, and in its view. They are most of either.
///
/// No rule can tell: what is shared is equal, and nothing changes it.
static HELD: Mutex<Held> = Mutex::new(Held { specs: BTreeMap::new(), names_before: 0 });

struct Held {
    specs: BTreeMap<String, Vec<Weak<Spec>>>,
    names_before: usize,
}

/// Reads a spec, as the one that is held already when it is the same.
pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Spec>, D::Error> {
    let spec = Spec::deserialize(from)?;
    Ok(HELD.lock().unwrap_or_else(PoisonError::into_inner).held(spec))
}

impl Held {
    fn held(&mut self, spec: Spec) -> Arc<Spec> {
        if self.specs.len() >= self.names_before + FORGOTTEN_AFTER {
            self.specs.retain(|_, specs| specs.iter().any(|spec| spec.strong_count() > 0));
            self.names_before = self.specs.len();
        }
        let specs = self.specs.entry(spec.workflow_type.clone()).or_default();
        specs.retain(|spec| spec.strong_count() > 0);
        if let Some(same) = specs.iter().filter_map(Weak::upgrade).find(|held| **held == spec) {
            return same;
        }
        let spec = Arc::new(spec);
        specs.push(Arc::downgrade(&spec));
        spec
    }
}
