//! `${NAME}` and `${NAME:-default}` in every text of the file; `$${` stands for `${`.
//!
//! References are taken out before the YAML is read and put back into the texts afterwards: so a brace never ends a
//! `{flow: mapping}`, and no value from the environment is ever read as YAML.

use serde_json::Value;

use super::Problem;

/// Frame of the number that stands for a reference while the YAML is read; private-use characters are fine in YAML.
const OPEN: char = '\u{E000}';
const CLOSE: char = '\u{E001}';

/// The references of a file, taken out of its text.
#[derive(Debug, Default)]
pub struct References(Vec<String>);

impl References {
    /// The text with a stand-in for every reference.
    pub fn take_out(text: &str) -> (String, Self) {
        let mut references = Self::default();
        let mut clean = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, after) = (&rest[..at], &rest[at + 2..]);
            let end = after.find(['}', '\n']).filter(|end| after[*end..].starts_with('}'));
            match (before.strip_suffix('$'), end) {
                (Some(before), _) => {
                    clean.push_str(before);
                    clean.push_str(&references.stand_in("$"));
                    rest = after;
                }
                (None, Some(end)) => {
                    clean.push_str(before);
                    clean.push_str(&references.stand_in(&after[..end]));
                    rest = &after[end + 1..];
                }
                (None, None) => {
                    clean.push_str(&rest[..at + 2]);
                    rest = after;
                }
            }
        }
        clean.push_str(rest);
        (clean, references)
    }

    fn stand_in(&mut self, reference: &str) -> String {
        self.0.push(reference.to_owned());
        format!("{OPEN}{}{CLOSE}", self.0.len() - 1)
    }

    /// Puts the values in below `value`; what has none becomes a problem at its path.
    pub fn put_in(
        &self,
        value: &mut Value,
        path: &str,
        look_up: &dyn Fn(&str) -> Option<String>,
        problems: &mut Vec<Problem>,
    ) {
        match value {
            Value::String(text) => match self.replace(text, look_up) {
                Ok(replaced) => *text = replaced,
                Err(message) => problems.push(Problem { path: path.to_owned(), message }),
            },
            Value::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    self.put_in(item, &format!("{path}[{at}]"), look_up, problems);
                }
            }
            Value::Object(members) => {
                for (key, member) in members.iter_mut() {
                    let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    self.put_in(member, &inner, look_up, problems);
                }
            }
            _ => {}
        }
    }

    fn replace(&self, text: &str, look_up: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
        if text.contains("${") {
            return Err(format!("`${{` is never closed in `{text}`"));
        }
        let mut replaced = String::new();
        for piece in text.split(OPEN) {
            let stand_in = piece.split_once(CLOSE);
            let reference =
                stand_in.and_then(|(n, rest)| Some((self.0.get(n.parse::<usize>().ok()?)?, rest)));
            match reference {
                Some((reference, rest)) => {
                    replaced.push_str(&resolve(reference, look_up)?);
                    replaced.push_str(rest);
                }
                None => replaced.push_str(piece),
            }
        }
        Ok(replaced)
    }
}

fn resolve(reference: &str, look_up: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    if reference == "$" {
        return Ok("${".to_owned());
    }
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("`{name}` is not the name of an environment variable"));
    }
    let found = look_up(name).filter(|value| default.is_none() || !value.is_empty());
    found.or_else(|| default.map(str::to_owned)).ok_or_else(|| {
        format!("environment variable {name} is not set; write ${{{name}:-…}} for a default, $${{{name}}} for the text")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(name: &str) -> Option<String> {
        match name {
            "SET" => Some("value".to_owned()),
            "YAML" => Some("a: [b, {c".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn read(yaml: &str) -> (Value, Vec<Problem>) {
        let (clean, references) = References::take_out(yaml);
        let mut value: Value = serde_yaml::from_str(&clean).unwrap();
        let mut problems = Vec::new();
        references.put_in(&mut value, "", &look_up, &mut problems);
        (value, problems)
    }

    #[test]
    fn references_are_replaced_or_named() {
        let table = [
            ("${SET}/x", Ok("value/x")),
            ("a ${UNSET:-b} c", Ok("a b c")),
            ("${UNSET:-}", Ok("")),
            ("${SET}${SET}", Ok("valuevalue")),
            ("${EMPTY:-d}", Ok("d")),
            ("${EMPTY}", Ok("")),
            ("${YAML}", Ok("a: [b, {c")),
            ("$${SET} $1 $", Ok("${SET} $1 $")),
            ("${UNSET}", Err("UNSET is not set")),
            ("${SET", Err("never closed")),
            ("${a b}", Err("not the name")),
        ];
        for (text, expected) in table {
            let (value, problems) = read(&format!("x: '{text}'"));
            match expected {
                Ok(wanted) => assert_eq!((&value["x"], problems), (&Value::from(wanted), vec![]), "{text}"),
                Err(wanted) => assert!(problems[0].message.contains(wanted), "{text}: {problems:?}"),
            }
        }
    }

    #[test]
    fn a_reference_may_stand_in_a_flow_mapping() {
        let (value, problems) = read("a: [{b: ${SET}, c: ${UNSET:-}}, {d: ${UNSET}}] # ${UNSET}");
        assert_eq!(value["a"][0], serde_json::json!({"b": "value", "c": ""}));
        assert_eq!(problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(), ["a[1].d"]);
    }
}
