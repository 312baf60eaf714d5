//! Who is calling, and what they may do.

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use globset::{Glob, GlobSet, GlobSetBuilder};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::code::Code;
use super::problem::Problem;

/// What a token may do. `Read` is held by every other role, and `Admin` holds them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Every GET.
    Read,
    /// Starts, run actions, tasks, schedules, claims.
    Dispatch,
    /// Workers and heartbeats.
    Register,
    /// Everything.
    Admin,
}

impl Role {
    /// The name used in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Dispatch => "dispatch",
            Role::Register => "register",
            Role::Admin => "admin",
        }
    }

    fn grants(self, needed: Role) -> bool {
        self == needed || needed == Role::Read || self == Role::Admin
    }
}

/// One named token, known by its digest only.
#[derive(Clone)]
pub struct TokenSettings {
    /// The name in logs; unique.
    pub name: String,
    /// Hex SHA-256 of the token.
    pub sha256: String,
    /// What it may do; never empty.
    pub roles: Vec<Role>,
    /// Globs over workflow type names; empty means every type.
    pub workflow_types: Vec<String>,
}

/// How requests are authenticated.
#[derive(Clone, Default)]
pub struct AuthSettings {
    /// Off means that every caller is an admin.
    pub enabled: bool,
    /// The one admin token.
    pub token: Option<String>,
    /// Further tokens.
    pub tokens: Vec<TokenSettings>,
    /// Routes that need only `read` are open to callers without a token.
    pub read_public: bool,
    /// The documentation is open to callers without a token, as soon as there is a token to try it with.
    pub docs_public: bool,
    /// Where metrics are served without a token; `None` means not at all.
    pub metrics_path: Option<String>,
    /// The listener is bound to a loopback address.
    pub loopback_only: bool,
}

impl fmt::Debug for AuthSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.tokens.iter().map(|token| token.name.as_str()).collect();
        f.debug_struct("AuthSettings")
            .field("enabled", &self.enabled)
            .field("token_given", &self.token.is_some())
            .field("tokens", &names)
            .field("read_public", &self.read_public)
            .field("docs_public", &self.docs_public)
            .field("metrics_path", &self.metrics_path)
            .field("loopback_only", &self.loopback_only)
            .finish()
    }
}

/// The caller; handlers take it as `Extension<Identity>`.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The token's name; `admin` for the admin token, `anonymous` without one.
    pub name: Arc<str>,
    /// What it may do.
    pub roles: Arc<[Role]>,
    /// The workflow types it may touch; `None` means all.
    pub workflow_types: Option<GlobSet>,
}

impl Identity {
    fn new(name: &str, roles: &[Role]) -> Self {
        Self { name: name.into(), roles: roles.into(), workflow_types: None }
    }

    /// The configuration itself, which may do everything.
    pub(super) fn configuration() -> Self {
        Self::new("configuration", &[Role::Admin])
    }

    /// Whether this caller may touch that workflow type.
    pub fn may_touch(&self, workflow_type: &str) -> bool {
        self.workflow_types.as_ref().is_none_or(|globs| globs.is_match(workflow_type))
    }

    /// `forbidden` unless this caller may touch that workflow type.
    pub fn require_type(&self, workflow_type: &str) -> Result<(), Problem> {
        if self.may_touch(workflow_type) {
            return Ok(());
        }
        let detail = format!("the token {:?} may not touch workflow type {workflow_type:?}", self.name);
        Err(Problem::new(Code::Forbidden, detail))
    }

    /// `forbidden` unless one of this caller's roles grants the needed one.
    pub fn require_role(&self, needed: Role) -> Result<(), Problem> {
        if self.roles.iter().any(|role| role.grants(needed)) {
            return Ok(());
        }
        let detail = format!("the token {:?} lacks the role {:?}", self.name, needed.as_str());
        Err(Problem::new(Code::Forbidden, detail))
    }
}

type Fingerprint = [u8; 32];

/// Checks credentials against the configured tokens.
pub struct Authenticator {
    enabled: bool,
    read_public: bool,
    docs_public: bool,
    anonymous: Identity,
    known: Vec<(Fingerprint, Identity)>,
}

impl Authenticator {
    /// Prepares the tokens. The error names the token and what is wrong with it, never its value.
    pub fn new(settings: &AuthSettings) -> Result<Self, String> {
        let mut known: Vec<(Fingerprint, Identity)> = Vec::new();
        if let Some(token) = settings.token.as_deref().filter(|token| !token.is_empty()) {
            known.push((fingerprint(token), Identity::new("admin", &[Role::Admin])));
        }
        for token in &settings.tokens {
            let entry = prepare(token).map_err(|why| format!("token {:?}: {why}", token.name))?;
            if known.iter().any(|(_, other)| other.name == entry.1.name) || token.name == "anonymous" {
                return Err(format!("token {:?}: the name is taken", token.name));
            }
            known.push(entry);
        }
        let role = if settings.enabled { Role::Read } else { Role::Admin };
        let anonymous = Identity::new("anonymous", &[role]);
        let AuthSettings { enabled, read_public, docs_public, .. } = *settings;
        Ok(Self { enabled, read_public, docs_public, anonymous, known })
    }

    /// Whether a route is open to callers without a token: one that only reads, or that documents the others. None is as
    /// long as there is no token at all.
    pub fn is_open(&self, reads: bool, docs: bool) -> bool {
        !self.known.is_empty() && ((reads && self.read_public) || (docs && self.docs_public))
    }

    /// Who is calling, or 401. `open` lets callers without a token in;
    /// whether the caller has the role for it is for [`Identity::require_role`] to say.
    pub fn authenticate(&self, open: bool, headers: &HeaderMap) -> Result<&Identity, Problem> {
        if !self.enabled {
            return Ok(&self.anonymous);
        }
        match credential(headers) {
            Some(token) => {
                self.identify(token).ok_or_else(|| Problem::new(Code::Unauthorized, "the token is not known"))
            }
            None if open => Ok(&self.anonymous),
            None => {
                let detail = "send a token as `Authorization: Bearer` or `X-API-Key`";
                Err(Problem::new(Code::Unauthorized, detail))
            }
        }
    }

    /// Names of all callers there can be, for what is counted per caller.
    pub fn names(&self) -> impl Iterator<Item = Arc<str>> {
        self.known.iter().map(|(_, identity)| identity).chain([&self.anonymous]).map(|id| id.name.clone())
    }

    /// Compares digests, and all of them, so that the time taken tells nothing about any token.
    fn identify(&self, token: &[u8]) -> Option<&Identity> {
        let given = fingerprint(token);
        self.known.iter().fold(
            None,
            |found, (known, identity)| {
                if bool::from(known.ct_eq(&given)) { Some(identity) } else { found }
            },
        )
    }
}

fn prepare(token: &TokenSettings) -> Result<(Fingerprint, Identity), String> {
    let mut digest = Fingerprint::default();
    hex::decode_to_slice(&token.sha256, &mut digest).map_err(|_| "sha256 is not 64 hex digits".to_owned())?;
    if token.roles.is_empty() {
        return Err("no roles".to_owned());
    }
    let mut identity = Identity::new(&token.name, &token.roles);
    if !token.workflow_types.is_empty() {
        let mut globs = GlobSetBuilder::new();
        for glob in &token.workflow_types {
            globs.add(Glob::new(glob).map_err(|error| error.to_string())?);
        }
        identity.workflow_types = Some(globs.build().map_err(|error| error.to_string())?);
    }
    Ok((digest, identity))
}

fn fingerprint(token: impl AsRef<[u8]>) -> Fingerprint {
    Sha256::digest(token).into()
}

/// The token sent, by either header; a malformed one is no token.
fn credential(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
    });
    let token = bearer.or_else(|| headers.get("x-api-key").map(|value| value.as_bytes().trim_ascii()))?;
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, secret: &str, roles: &[Role], types: &[&str]) -> TokenSettings {
        TokenSettings {
            name: name.to_owned(),
            sha256: hex::encode(fingerprint(secret)),
            roles: roles.to_vec(),
            workflow_types: types.iter().map(|glob| (*glob).to_owned()).collect(),
        }
    }

    #[test]
    fn roles_grant_what_the_table_says() {
        use Role::{Admin, Dispatch, Read, Register};
        let table = [
            (Read, [true, false, false, false]),
            (Dispatch, [true, true, false, false]),
            (Register, [true, false, true, false]),
            (Admin, [true, true, true, true]),
        ];
        for (role, expected) in table {
            assert_eq!(
                [Read, Dispatch, Register, Admin].map(|needed| role.grants(needed)),
                expected,
                "{role:?}"
            );
        }
    }

    #[test]
    fn credentials_are_read_from_either_header() {
        let table: [(&str, &str, Option<&str>); 7] = [
            ("authorization", "Bearer abc", Some("abc")),
            ("authorization", "bearer   abc ", Some("abc")),
            ("authorization", "Basic abc", None),
            ("authorization", "Bearer ", None),
            ("authorization", "Bea", None),
            ("x-api-key", "abc", Some("abc")),
            ("x-api-key", "", None),
        ];
        for (name, value, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(credential(&headers), expected.map(str::as_bytes), "{name}: {value}");
        }
    }

    #[test]
    fn globs_bound_the_workflow_types() {
        let settings = AuthSettings {
            enabled: true,
            tokens: vec![token("ci", "s", &[Role::Dispatch], &["build.*", "report.v?"])],
            ..AuthSettings::default()
        };
        let auth = Authenticator::new(&settings).unwrap();
        let ci = auth.identify(b"s").unwrap();
        for (name, expected) in
            [("build.a.v1", true), ("report.v2", true), ("report.v10", false), ("x", false)]
        {
            assert_eq!(ci.may_touch(name), expected, "{name}");
        }
        assert!(auth.anonymous.may_touch("anything"));
        assert!(auth.identify(b"t").is_none());
    }

    #[test]
    fn bad_tokens_are_refused_by_name() {
        let mut short = token("a", "s", &[Role::Read], &[]);
        short.sha256.pop();
        let table = [
            (vec![short], "token \"a\": sha256 is not 64 hex digits"),
            (vec![token("a", "s", &[], &[])], "token \"a\": no roles"),
            (vec![token("admin", "s", &[Role::Read], &[])], "token \"admin\": the name is taken"),
            (vec![token("anonymous", "s", &[Role::Read], &[])], "token \"anonymous\": the name is taken"),
            (vec![token("a", "s", &[Role::Read], &["[z"])], "token \"a\": error parsing glob"),
        ];
        for (tokens, expected) in table {
            let settings = AuthSettings { token: Some("root".into()), tokens, ..AuthSettings::default() };
            let error = Authenticator::new(&settings).err().unwrap();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn debug_never_shows_the_token() {
        let settings = AuthSettings { token: Some("hunter2".into()), ..AuthSettings::default() };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
