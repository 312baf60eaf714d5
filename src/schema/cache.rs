//! Compiled validators by content hash, so that one schema is compiled once however often it is used.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use serde_json::Value;

use super::{Inadmissible, Validator};

/// A bounded cache of compiled validators; the least recently used go first.
pub struct ValidatorCache {
    entries: Mutex<LruCache<String, Arc<Validator>>>,
}

impl ValidatorCache {
    /// Holds at most `entries` validators (at least one).
    pub fn new(entries: usize) -> Self {
        let entries = NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN);
        Self { entries: Mutex::new(LruCache::new(entries)) }
    }

    /// The validator for `schema`, compiled now when `hash` is not held yet.
    ///
    /// `hash` must be the [`content_hash`](super::content_hash) of `schema`: it alone is compared.
    ///
    /// # Errors
    /// When the schema is not admissible; refusals are not cached.
    pub fn get(&self, hash: &str, schema: &Value) -> Result<Arc<Validator>, Inadmissible> {
        if let Some(found) = self.entries.lock().get(hash) {
            return Ok(Arc::clone(found));
        }
        // Outside the lock: a large schema must not hold up checks against others. Two callers may compile
        // the same one; the first to finish is kept.
        let compiled = Arc::new(Validator::compile(schema)?);
        let mut entries = self.entries.lock();
        Ok(Arc::clone(entries.get_or_insert(hash.to_owned(), || compiled)))
    }

    /// The same for a part of a spec, told by the content hash of the spec and the part's name: hashing a large schema
    /// again for every input would cost more than the check.
    ///
    /// # Errors
    /// As [`ValidatorCache::get`].
    pub fn of_spec(
        &self,
        spec_hash: &str,
        part: &str,
        schema: &Value,
    ) -> Result<Arc<Validator>, Inadmissible> {
        let key = format!("{spec_hash}/{part}");
        if let Some(found) = self.entries.lock().get(&key) {
            return Ok(Arc::clone(found));
        }
        let found = self.get(&super::content_hash(schema), schema)?;
        self.entries.lock().put(key, Arc::clone(&found));
        Ok(found)
    }

    /// How many validators are held.
    pub fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
