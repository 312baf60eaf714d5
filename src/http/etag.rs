//! Entity tags and the conditions on them (RFC 9110 section 8.8.3 and 13).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::code::Code;
use super::problem::Problem;

/// A strong entity tag around an opaque text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// A strong tag. Characters that may not stand in a tag are left out.
    pub fn new(opaque: impl ToString) -> Self {
        Self(opaque.to_string().chars().filter(|c| c.is_ascii_graphic() && *c != '"').collect())
    }

    /// The value of the `ETag` header.
    pub fn header(&self) -> HeaderValue {
        // Only visible ASCII got in, so this never falls back.
        HeaderValue::from_str(&format!("\"{}\"", self.0)).unwrap_or(HeaderValue::from_static("\"\""))
    }

    /// Whether `If-None-Match` names this tag (weak comparison): the answer to a GET is then 304.
    pub fn is_known_to(&self, headers: &HeaderMap) -> Result<bool, Problem> {
        let condition = Condition::read(headers, &header::IF_NONE_MATCH)?;
        Ok(condition.is_some_and(|condition| condition.names(Some(self), false)))
    }
}

/// Checks `If-Match` (strong comparison) against what is there now; `None` when nothing is.
/// Without the header anything goes; otherwise 412 `revision_mismatch`.
pub fn require_match(headers: &HeaderMap, current: Option<&ETag>) -> Result<(), Problem> {
    match Condition::read(headers, &header::IF_MATCH)? {
        Some(condition) if !condition.names(current, true) => {
            let problem = Problem::new(Code::RevisionMismatch, "If-Match does not name the current revision");
            Err(match current {
                Some(tag) => problem.with("etag", format!("\"{}\"", tag.0)),
                None => problem,
            })
        }
        _ => Ok(()),
    }
}

/// What stands: a revision number (0: nothing does), and the registry's revision at which it changed last.
pub type Standing = (u32, u64);

/// What a request demands of what stands. A tag of such a thing is `<number>.<change>.<anything>`, and only the two numbers
/// count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// No condition.
    Nothing,
    /// Something has to be there (`If-Match: *`).
    Something,
    /// Nothing may be there (`If-None-Match: *`).
    Absence,
    /// One of these.
    OneOf(Vec<Standing>),
}

impl Demand {
    /// Reads `If-Match`, or `If-None-Match: *`.
    pub fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let standing = |(weak, tag): (bool, String)| -> Option<Standing> {
            let mut parts = tag.split('.').filter(|_| !weak);
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        };
        match Condition::read(headers, &header::IF_MATCH)? {
            Some(Condition::Anything) => return Ok(Self::Something),
            Some(Condition::Tags(tags)) => {
                return Ok(Self::OneOf(tags.into_iter().filter_map(standing).collect()));
            }
            None => {}
        }
        match Condition::read(headers, &header::IF_NONE_MATCH)? {
            Some(Condition::Anything) => Ok(Self::Absence),
            Some(Condition::Tags(_)) | None => Ok(Self::Nothing),
        }
    }

    /// What to demand of the rules, which decide: number and change; `current` is what is believed to stand.
    /// 412 when nothing will do.
    pub fn base(&self, current: Standing) -> Result<(Option<u32>, Option<u64>), Problem> {
        let base = match self {
            Self::Nothing => return Ok((None, None)),
            Self::Something => (current.0 != 0).then_some((Some(current.0), None)),
            Self::Absence => Some((Some(0), None)),
            Self::OneOf(all) => {
                let wanted = all.iter().find(|standing| **standing == current).or(all.first());
                wanted.map(|(number, changed)| (Some(*number), Some(*changed)))
            }
        };
        base.ok_or_else(|| {
            Problem::new(Code::RevisionMismatch, "the condition does not name what is there")
                .with("revision", current.0)
        })
    }
}

/// The value of `If-Match` or `If-None-Match`.
enum Condition {
    Anything,
    Tags(Vec<(bool, String)>),
}

impl Condition {
    fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Problem> {
        let mut tags = Vec::new();
        let mut given = false;
        for value in headers.get_all(name) {
            given = true;
            let text = String::from_utf8_lossy(value.as_bytes());
            if text.trim() == "*" {
                return Ok(Some(Self::Anything));
            }
            let malformed =
                || Problem::invalid_at(&["header", name.as_str()], "is no list of entity tags", "etag");
            tags.extend(list(&text).ok_or_else(malformed)?);
        }
        Ok(given.then_some(Self::Tags(tags)))
    }

    fn names(&self, current: Option<&ETag>, strong: bool) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Anything, Some(_)) => true,
            (Self::Tags(tags), Some(ETag(current))) => {
                tags.iter().any(|(weak, tag)| tag == current && !(strong && *weak))
            }
        }
    }
}

/// `"a", W/"b"` as (weak, opaque) pairs. A tag may hold commas, so it is read, not split.
fn list(text: &str) -> Option<Vec<(bool, String)>> {
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(tags);
        }
        let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |quoted| (true, quoted));
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        tags.push((weak, tag.to_owned()));
        rest = after.trim_start();
        if !(rest.is_empty() || rest.starts_with(',')) {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: Option<&str>) -> HeaderMap {
        value.map(|value| (name, value.parse().unwrap())).into_iter().collect()
    }

    #[test]
    fn if_match() {
        let tag = ETag::new(7);
        let (fine, mismatch, malformed) = (None, Some(Code::RevisionMismatch), Some(Code::InvalidRequest));
        let table = [
            (None, Some(&tag), fine),
            (None, None, fine),
            (Some("\"7\""), Some(&tag), fine),
            (Some("\"6\" , \"7\""), Some(&tag), fine),
            (Some("*"), Some(&tag), fine),
            (Some("*"), None, mismatch),
            (Some("\"7\""), None, mismatch),
            (Some("\"6\""), Some(&tag), mismatch),
            (Some("\"6,7\""), Some(&tag), mismatch),
            (Some("W/\"7\""), Some(&tag), mismatch),
            (Some("7"), Some(&tag), malformed),
            (Some("\"7"), Some(&tag), malformed),
            (Some("\"6\" \"7\""), Some(&tag), malformed),
        ];
        for (value, current, expected) in table {
            let outcome = require_match(&headers(header::IF_MATCH, value), current);
            assert_eq!(outcome.err().map(|problem| problem.code), expected, "{value:?} {current:?}");
        }
    }

    #[test]
    fn if_none_match() {
        let table = [
            (None, false),
            (Some("\"7\""), true),
            (Some("W/\"7\""), true),
            (Some("\"8\""), false),
            (Some("*"), true),
        ];
        for (value, expected) in table {
            let known = ETag::new(7).is_known_to(&headers(header::IF_NONE_MATCH, value));
            assert_eq!(known.unwrap(), expected, "{value:?}");
        }
    }

    #[test]
    fn demands_on_a_revision_number() {
        let (fine, mismatch) = (Ok, Err(Code::RevisionMismatch));
        let (stands, nothing) = ((3, 17), (0, 0));
        let table = [
            (None, stands, fine((None, None))),
            (Some((header::IF_MATCH, "*")), stands, fine((Some(3), None))),
            (Some((header::IF_MATCH, "*")), nothing, mismatch),
            (Some((header::IF_MATCH, "\"3.17.abc\"")), stands, fine((Some(3), Some(17)))),
            (Some((header::IF_MATCH, "\"2.9.abc\", \"3.17.x\"")), stands, fine((Some(3), Some(17)))),
            // The rules refuse it, should this still not be the current one by then.
            (Some((header::IF_MATCH, "\"2.9.abc\"")), stands, fine((Some(2), Some(9)))),
            (Some((header::IF_MATCH, "\"3.16.abc\"")), stands, fine((Some(3), Some(16)))),
            (Some((header::IF_MATCH, "W/\"3.17.abc\"")), stands, mismatch),
            (Some((header::IF_MATCH, "\"what\"")), stands, mismatch),
            (Some((header::IF_MATCH, "\"3.abc\"")), stands, mismatch),
            (Some((header::IF_NONE_MATCH, "*")), stands, fine((Some(0), None))),
            (Some((header::IF_NONE_MATCH, "\"3.17.abc\"")), stands, fine((None, None))),
        ];
        for (given, current, expected) in table {
            let headers: HeaderMap =
                given.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            let base = Demand::read(&headers).unwrap().base(current).map_err(|problem| problem.code);
            assert_eq!(base, expected, "{given:?} {current:?}");
        }
    }

    #[test]
    fn header_values_are_quoted_and_safe() {
        assert_eq!(ETag::new(12).header(), "\"12\"");
        assert_eq!(ETag::new("a\"b\n c").header(), "\"abc\"");
    }
}
