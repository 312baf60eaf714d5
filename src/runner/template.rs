//! `{{input.a.b}}` and `{{secret.NAME}}`: strict, without a shell, without logic.
//!
//! A value that is missing (or null) is an error, never an empty text. Text and numbers go in as they are, lists and
//! objects as JSON. `{{input}}` is the whole input.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value};

use super::secrets::Secrets;

/// What may be put into a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// A path into the input; empty for the whole of it.
    Input(Vec<String>),
    /// A secret of the entry, by name.
    Secret(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Piece>);

/// The values templates are filled from.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The input of the run.
    pub input: &'a Value,
    /// The entry's secrets; without them `{{secret.…}}` is an error.
    pub secrets: &'a Secrets,
}

/// Everything but the unreserved characters of RFC 3986.
const URL_PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// An open `{{` without its end, or a variable that is neither `input…` nor `secret.NAME`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            if open > 0 {
                pieces.push(Piece::Text(rest[..open].to_owned()));
            }
            let inner = &rest[open + 2..];
            let close = inner.find("}}").ok_or_else(|| format!("`{{{{` is never closed in `{text}`"))?;
            pieces.push(Piece::Variable(variable(inner[..close].trim())?));
            rest = &inner[close + 2..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The variables it needs.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(variable),
            Piece::Text(_) => None,
        })
    }

    /// Whether it holds no variable.
    pub fn is_literal(&self) -> bool {
        self.variables().next().is_none()
    }

    /// The text before its first variable.
    pub fn literal_start(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// All its text with every variable replaced by nothing.
    pub fn literal_text(&self) -> String {
        let texts = self.0.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Variable(_) => None,
        });
        texts.collect()
    }

    /// The text with every variable filled in.
    ///
    /// # Errors
    /// A variable that is missing, named.
    pub fn render(&self, values: Values<'_>) -> Result<String, String> {
        self.render_with(values, Ok)
    }

    /// Like [`Self::render`], each value percent-encoded, so that it can only ever be a part of a URL.
    ///
    /// # Errors
    /// A missing variable, or a value of `.` or `..`, which no encoding keeps from moving up the path.
    pub fn render_url(&self, values: Values<'_>) -> Result<String, String> {
        self.render_with(values, |value| url_part(&value))
    }

    fn render_with(
        &self,
        values: Values<'_>,
        encode: impl Fn(String) -> Result<String, String>,
    ) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Variable(variable) => text.push_str(&encode(as_text(&look_up(variable, values)?))?),
            }
        }
        Ok(text)
    }

    /// The value itself when the template is exactly one variable, else its text.
    fn render_value(&self, values: Values<'_>) -> Result<Value, String> {
        match self.0.as_slice() {
            [Piece::Variable(variable)] => look_up(variable, values),
            _ => self.render(values).map(Value::from),
        }
    }
}

/// Percent-encodes one part of a URL.
///
/// # Errors
/// For `.` and `..`.
pub fn url_part(value: &str) -> Result<String, String> {
    if matches!(value, "." | "..") {
        return Err(format!("`{value}` cannot be a part of a URL"));
    }
    Ok(utf8_percent_encode(value, URL_PART).to_string())
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match value {
            Value::String(text) => Self::parse(&text).map_err(D::Error::custom),
            Value::Number(_) | Value::Bool(_) => Ok(Self(vec![Piece::Text(value.to_string())])),
            _ => Err(D::Error::custom("must be a text")),
        }
    }
}

fn variable(name: &str) -> Result<Variable, String> {
    let mut parts = name.split('.').map(str::to_owned);
    let root = parts.next().unwrap_or_default();
    let path: Vec<String> = parts.collect();
    let whole = path.iter().all(|part| !part.is_empty() && !part.contains(char::is_whitespace));
    match (root.as_str(), path.as_slice()) {
        ("input", _) if whole => Ok(Variable::Input(path)),
        ("secret", [name]) if whole => Ok(Variable::Secret(name.clone())),
        _ => Err(format!("`{{{{{name}}}}}` is not a variable; use input, input.FIELD or secret.NAME")),
    }
}

fn look_up(variable: &Variable, values: Values<'_>) -> Result<Value, String> {
    match variable {
        Variable::Secret(name) => {
            values.secrets.get(name).map(Value::from).ok_or_else(|| format!("secret `{name}` is not there"))
        }
        Variable::Input(path) => {
            let mut found = Some(values.input);
            for part in path {
                found = match found {
                    Some(Value::Array(items)) => part.parse::<usize>().ok().and_then(|at| items.get(at)),
                    Some(value) => value.get(part),
                    None => None,
                };
            }
            let missing = || format!("input.{} is missing", path.join("."));
            found.filter(|value| !value.is_null()).cloned().ok_or_else(missing)
        }
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A request body: a text, or a structure sent as JSON whose texts are templates. A text that is exactly one variable
/// keeps the type of its value.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Sent as it is.
    Text(Template),
    /// Sent as JSON.
    Json(JsonTemplate),
}

/// JSON whose texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonTemplate {
    /// A text.
    Text(Template),
    /// A list.
    List(Vec<JsonTemplate>),
    /// An object; its keys are literal.
    Object(Vec<(String, JsonTemplate)>),
    /// A number, a boolean or null.
    Literal(Value),
}

impl JsonTemplate {
    fn parse(value: Value) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(&text)?),
            Value::Array(items) => Self::List(items.into_iter().map(Self::parse).collect::<Result<_, _>>()?),
            Value::Object(members) => Self::Object(
                members
                    .into_iter()
                    .map(|(key, value)| Ok((key, Self::parse(value)?)))
                    .collect::<Result<_, String>>()?,
            ),
            other => Self::Literal(other),
        })
    }

    /// The JSON with every variable filled in.
    ///
    /// # Errors
    /// A variable that is missing, named.
    pub fn render(&self, values: Values<'_>) -> Result<Value, String> {
        Ok(match self {
            Self::Text(template) => template.render_value(values)?,
            Self::List(items) => {
                Value::Array(items.iter().map(|item| item.render(values)).collect::<Result<_, _>>()?)
            }
            Self::Object(members) => {
                let mut object = Map::new();
                for (key, member) in members {
                    object.insert(key.clone(), member.render(values)?);
                }
                Value::Object(object)
            }
            Self::Literal(value) => value.clone(),
        })
    }

    /// The templates in it.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Text(template) => vec![template],
            Self::List(items) => items.iter().flat_map(Self::templates).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, member)| member.templates()).collect(),
            Self::Literal(_) => Vec::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Template::parse(&text).map(Self::Text),
            other => JsonTemplate::parse(other).map(Self::Json),
        }
        .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(text: &str, input: &Value) -> Result<String, String> {
        let secrets = Secrets::from_pairs([("KEY", "s3cret")]);
        Template::parse(text)?.render(Values { input, secrets: &secrets })
    }

    #[test]
    fn values_go_in_as_they_are() {
        let input =
            json!({"a": {"b": "x y"}, "n": 3, "t": true, "l": [1, {"k": "v"}], "z": null, "$(id)": "no"});
        let table = [
            ("plain", Ok("plain")),
            ("{{input.a.b}}", Ok("x y")),
            ("<{{ input.n }}|{{input.t}}>", Ok("<3|true>")),
            ("{{input.l}}", Ok(r#"[1,{"k":"v"}]"#)),
            ("{{input.l.1.k}}", Ok("v")),
            ("{{secret.KEY}}", Ok("s3cret")),
            ("{{input.$(id)}}; rm", Ok("no; rm")),
            ("{{input.none}}", Err("input.none is missing")),
            ("{{input.a.b.c}}", Err("input.a.b.c is missing")),
            ("{{input.z}}", Err("input.z is missing")),
            ("{{input.l.9}}", Err("input.l.9 is missing")),
            ("{{secret.NONE}}", Err("secret `NONE` is not there")),
        ];
        for (text, expected) in table {
            assert_eq!(render(text, &input), expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn bad_templates_are_refused() {
        for text in [
            "{{input.a",
            "{{}}",
            "{{env.PATH}}",
            "{{input..a}}",
            "{{secret}}",
            "{{secret.A.B}}",
            "{{in put}}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_cannot_leave_its_place_in_a_url() {
        let secrets = Secrets::default();
        let template = Template::parse("https://h/{{input.x}}/end").unwrap();
        let url = |x: &str| template.render_url(Values { input: &json!({ "x": x }), secrets: &secrets });
        assert_eq!(url("a/../b?c=d#e@f").unwrap(), "https://h/a%2F..%2Fb%3Fc%3Dd%23e%40f/end");
        assert!(url("..").is_err());
        assert!(url(".").is_err());
    }

    #[test]
    fn a_json_body_keeps_types() {
        let body: Body = serde_json::from_value(json!({
            "n": "{{input.n}}", "text": "n={{input.n}}", "all": "{{input}}", "list": ["{{input.n}}", 7, null]
        }))
        .unwrap();
        let Body::Json(json) = body else { panic!("an object is JSON") };
        let rendered = json.render(Values { input: &json!({"n": 3}), secrets: &Secrets::default() }).unwrap();
        assert_eq!(rendered, json!({"n": 3, "text": "n=3", "all": {"n": 3}, "list": [3, 7, null]}));
    }
}
