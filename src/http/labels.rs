//! The filter `label=key=value`.

use std::collections::BTreeMap;

use super::problem::Problem;

/// Labels that all have to be there.
#[derive(Debug)]
pub struct Labels<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Labels<'a> {
    /// Reads the values of the query parameter; 400 when one is not `key=value`.
    pub fn read(given: &'a [String]) -> Result<Self, Problem> {
        let pair = |text: &'a String| {
            text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
                Problem::invalid_at(&["query", "label"], format!("{text:?} is not key=value"), "label")
            })
        };
        given.iter().map(pair).collect::<Result<_, _>>().map(Self)
    }

    /// Whether all of them are among these.
    pub fn all_in(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(key, value)| labels.get(*key).is_some_and(|found| found == value))
    }
}
