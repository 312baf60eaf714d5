//! Secrets by reference: read when a run needs them, never recorded, cut out of everything that is.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

use super::template::url_part;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In this environment variable of the runner.
    Env(String),
    /// In this file; one newline at its end is not part of it.
    File(PathBuf),
}

impl<'de> Deserialize<'de> for SecretSource {
    /// By hand, since a message that quotes what it found would show a secret that was written down here.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let only = value.as_object().filter(|members| members.len() == 1).and_then(|it| it.iter().next());
        match only.map(|(key, place)| (key.as_str(), place.as_str())) {
            Some(("env", Some(name))) => Ok(Self::Env(name.to_owned())),
            Some(("file", Some(path))) => Ok(Self::File(path.into())),
            _ => Err(D::Error::custom("must be {env: VARIABLE} or {file: PATH}, never the secret itself")),
        }
    }
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// Names the place, never the value.
    pub fn read(&self) -> Result<String, String> {
        let value = match self {
            Self::Env(name) => {
                std::env::var(name).map_err(|_| format!("environment variable {name} is not set"))?
            }
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("file {} cannot be read: {error}", path.display()))?;
                let cut = text.strip_suffix('\n').unwrap_or(&text);
                cut.strip_suffix('\r').unwrap_or(cut).to_owned()
            }
        };
        if value.is_empty() { Err("it is empty".to_owned()) } else { Ok(value) }
    }
}

/// The secrets of one execution.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    /// Reads every secret of an entry.
    ///
    /// # Errors
    /// The first that cannot be read, by name.
    pub fn read(sources: &BTreeMap<String, SecretSource>) -> Result<Self, String> {
        let mut secrets = BTreeMap::new();
        for (name, source) in sources {
            secrets
                .insert(name.clone(), source.read().map_err(|reason| format!("secret `{name}`: {reason}"))?);
        }
        Ok(Self(secrets))
    }

    /// Secrets given outright.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// A secret by name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The text without any secret in it.
    pub fn redact(&self, text: &str) -> String {
        let mut redactor = self.redactor();
        let mut clean = redactor.push(text.as_bytes());
        clean.extend(redactor.finish());
        String::from_utf8_lossy(&clean).into_owned()
    }

    /// A redactor for a stream of bytes.
    pub fn redactor(&self) -> Redactor {
        let mut secrets: Vec<Vec<u8>> = self.0.values().flat_map(|value| forms(value)).collect();
        // The longest first, so that a secret which contains another is cut out whole.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Redactor { secrets, held: Vec::new() }
    }
}

/// A secret as it is, as a part of a JSON text and as a part of a URL: so it comes back from whoever repeats it there.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let json = Value::from(secret).to_string();
    let json = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned();
    let mut forms: Vec<String> = vec![secret.to_owned(), json];
    forms.extend(url_part(secret));
    forms.sort_unstable();
    forms.dedup();
    forms.into_iter().filter(|form| !form.is_empty()).map(String::into_bytes).collect()
}

/// Cuts secrets out of a stream, also where one is split between two chunks.
#[derive(Debug)]
pub struct Redactor {
    secrets: Vec<Vec<u8>>,
    held: Vec<u8>,
}

const REDACTED: &[u8] = b"[redacted]";

impl Redactor {
    /// Takes a chunk and gives the clean bytes that no later chunk can turn into a secret.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(chunk);
        self.drain(false)
    }

    /// The rest of the stream.
    pub fn finish(&mut self) -> Vec<u8> {
        self.drain(true)
    }

    fn drain(&mut self, last: bool) -> Vec<u8> {
        if self.secrets.is_empty() {
            return std::mem::take(&mut self.held);
        }
        let mut clean = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            // More bytes may make this a longer secret than the one it already is.
            let open = |secret: &Vec<u8>| secret.len() > rest.len() && secret.starts_with(rest);
            if !last && self.secrets.iter().any(open) {
                break;
            }
            if let Some(secret) = self.secrets.iter().find(|secret| rest.starts_with(secret)) {
                clean.extend_from_slice(REDACTED);
                at += secret.len();
            } else {
                clean.push(self.held[at]);
                at += 1;
            }
        }
        self.held.drain(..at);
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_cut_out_wherever_the_chunks_split() {
        let secrets = Secrets::from_pairs([("A", "topsecret"), ("B", "top"), ("C", "ret!")]);
        let text = b"x topsecret! top to topsecre topsecret";
        for split in 0..text.len() {
            let mut redactor = secrets.redactor();
            let mut clean = redactor.push(&text[..split]);
            clean.extend(redactor.push(&text[split..]));
            clean.extend(redactor.finish());
            let clean = String::from_utf8(clean).unwrap();
            assert_eq!(clean, "x [redacted]! [redacted] to [redacted]secre [redacted]", "{split}");
        }
    }

    #[test]
    fn a_secret_is_cut_out_in_every_form_it_comes_back_in() {
        let secrets = Secrets::from_pairs([("A", "p\"w/d\n")]);
        let text = "raw p\"w/d\n json \"p\\\"w/d\\n\" url p%22w%2Fd%0A";
        assert_eq!(secrets.redact(text), "raw [redacted] json \"[redacted]\" url [redacted]");
    }

    #[test]
    fn debug_shows_names_only() {
        assert_eq!(format!("{:?}", Secrets::from_pairs([("A", "topsecret")])), r#"{"A"}"#);
    }

    #[test]
    fn a_file_loses_its_last_newline() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "value \r\n").unwrap();
        assert_eq!(SecretSource::File(file.path().to_owned()).read().unwrap(), "value ");
        let missing = SecretSource::Env("SURELY_NOT_SET_ANYWHERE".into()).read().unwrap_err();
        assert!(missing.contains("SURELY_NOT_SET_ANYWHERE"));
    }
}
