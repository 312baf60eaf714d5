//! Keywords about the value itself.

use serde_json::{Map, Value};

use super::facts::Facts;
use super::{Comparison, step, types};

impl<'a> Comparison<'a> {
    pub(super) fn scalars(&mut self, old: &Facts<'a>, new: &'a Map<String, Value>, at: &str) {
        if let Some(keyword) = new.get("type") {
            let lost = old.types() & !types::named(keyword);
            if lost != 0 {
                self.broken(step(at, "type"), format!("no longer accepted: {}", types::words(lost)));
            }
        }
        if let Some(constant) =
            self.new.constant(new).filter(|constant| !old.each_value(|value| value == *constant))
        {
            self.broken(step(at, "const"), format!("values other than {constant} are no longer accepted"));
        }
        if let Some(listed) = new.get("enum").and_then(Value::as_array)
            && !old.each_value(|value| listed.contains(value))
        {
            self.broken(step(at, "enum"), "values that were accepted are not in the list");
        }
        self.numbers(old, new, at);
        let unless_equal = [("pattern", types::STRING), ("uniqueItems", types::ARRAY)];
        for (keyword, of) in unless_equal {
            let Some(rule) = new.get(keyword).filter(|rule| **rule != Value::Bool(false)) else { continue };
            if old.may_be(of) && !old.any(|fact| fact.get(keyword) == Some(rule)) {
                self.broken(step(at, keyword), format!("{keyword} {rule} may refuse what was accepted"));
            }
        }
    }
}
