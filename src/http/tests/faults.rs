//! What every route answers to what can be wrong with a request: `docs/faults.md`, of which every cell is seen here.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::request::Builder;
use futures::{future::join_all, stream};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;
use crate::http::auth::{AuthSettings, Role, TokenSettings};
use crate::http::limits::LimitSettings;
use crate::http::openapi::document;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/faults.md");
const BODY_BYTES_MAX: usize = 1_000;
const ROLES: [Role; 4] = [Role::Read, Role::Dispatch, Role::Register, Role::Admin];

const HEAD: &str = "# What can be wrong with a request

The status each route answers with, always as `application/problem+json` and with nothing done; `-`: cannot happen there.
400 is `invalid_json` for what is no JSON or no UTF-8 and else `invalid_request`; 415 `unsupported_media_type`; 429
`too_many_requests` when every place is taken; for a handler that is too slow 503 `temporal_unavailable` or, when it
writes, 504 `outcome_unknown`, and `own` where the request itself says how long it waits.

";

const COLUMNS: [&str; 14] = [
    "route",
    "role",
    "no token",
    "wrong role",
    "no JSON",
    "no UTF-8",
    "wrong type",
    "unknown field",
    "other content type",
    "compressed",
    "too large",
    "slow body",
    "no place",
    "slow handler",
];

/// What was seen, or what is wrong with it.
type Cell = Result<String, String>;

/// One operation of the OpenAPI document.
struct Route {
    method: String,
    path: String,
    /// The path with something in the place of its parameters.
    uri: String,
    role: Option<Role>,
    /// Names and types of the members of its body, where they have a type.
    body: Option<Vec<(String, String)>>,
}

impl Route {
    fn all() -> Vec<Self> {
        let document = json!(document());
        let paths = document["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
        });
        operations.map(|(path, method, operation)| Self::of(&document, path, method, operation)).collect()
    }

    fn of(document: &Value, path: &str, method: &str, operation: &Value) -> Self {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let uri = parameters.filter(|parameter| parameter["in"] == "path").fold(
            path.to_owned(),
            |uri, parameter| {
                let value = if parameter["schema"]["type"] == "integer" { "1" } else { "x" };
                uri.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), value)
            },
        );
        let description = operation["description"].as_str().unwrap_or_default();
        let role =
            ROLES.into_iter().find(|role| description.contains(&format!("the role `{}`", role.as_str())));
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let reference = schema["$ref"].as_str().or(schema["oneOf"][0]["$ref"].as_str());
        let body = operation.get("requestBody").map(|_| {
            let object = document.pointer(&reference.unwrap()[1..]).unwrap();
            members(object)
        });
        Self { method: method.to_uppercase(), path: path.to_owned(), uri, role, body }
    }

    fn request(&self, token: Option<&str>) -> Builder {
        let request = Request::builder().method(self.method.as_str()).uri(&self.uri);
        token
            .into_iter()
            .fold(request, |request, token| request.header("authorization", format!("Bearer {token}")))
    }

    /// With just the role it takes.
    fn allowed(&self) -> Builder {
        self.request(self.role.map(Role::as_str))
    }

    /// Bodies that are wrong in one place, and the pointer to it.
    fn misfits(&self) -> Vec<(String, Value)> {
        let whole = (String::new(), json!("text"));
        let members = self.body.iter().flatten().map(|(name, kind)| {
            let wrong = if kind == "string" { json!(7) } else { json!("text") };
            (format!("/{name}"), json!({name: wrong}))
        });
        std::iter::once(whole).chain(members).collect()
    }
}

/// The members of an object schema that have a type, with its name.
fn members(object: &Value) -> Vec<(String, String)> {
    let kind = |schema: &Value| match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").cloned(),
        kind => Some(kind.clone()),
    };
    let typed = |(name, schema): (&String, &Value)| Some((name.clone(), kind(schema)?.as_str()?.to_owned()));
    object["properties"].as_object().unwrap().iter().filter_map(typed).collect()
}

fn door(routes: Routes, limits: LimitSettings) -> Door {
    let token = |role: Role| TokenSettings {
        name: role.as_str().to_owned(),
        sha256: hex::encode(Sha256::digest(role.as_str())),
        roles: vec![role],
        workflow_types: Vec::new(),
    };
    let metrics_path = Some("/metrics".to_owned());
    let tokens = ROLES.map(token).to_vec();
    let auth = AuthSettings { enabled: true, tokens, metrics_path, ..AuthSettings::default() };
    Door::of(routes, Settings { auth, limits, ..Settings::default() })
}

struct Doors {
    usual: Door,
    hasty: Door,
    full: Door,
    stuck: Door,
}

impl Doors {
    fn new() -> Self {
        let usual = LimitSettings { max_body_bytes: BODY_BYTES_MAX, ..LimitSettings::default() };
        let hasty = LimitSettings { deadline: Duration::from_millis(20), ..LimitSettings::default() };
        let full = LimitSettings { concurrent_writes: 0, concurrent_waits: 0, ..LimitSettings::default() };
        Self {
            usual: door(resources(), usual),
            hasty: door(resources(), hasty.clone()),
            full: door(resources(), full),
            stuck: door(resources().stuck(), hasty),
        }
    }

    /// One line of the table.
    async fn row(&self, route: &Route) -> Vec<Cell> {
        let headed = |name, value| route.allowed().header(name, value);
        vec![
            Ok(format!("`{} {}`", route.method, route.path)),
            Ok(route.role.map_or("-", Role::as_str).to_owned()),
            self.unknown(route).await,
            self.unfit(route).await,
            self.unread(route, route.allowed(), b"{\"a\": tru", Code::InvalidJson).await,
            self.unread(route, route.allowed(), b"{\"a\": \"\xff\"}", Code::InvalidJson).await,
            self.misfit(route, &route.misfits()).await,
            self.misfit(route, &[("/no_such_member".to_owned(), json!({"no_such_member": 1}))]).await,
            self.unread(route, headed("content-type", "text/plain"), b"{}", Code::UnsupportedMediaType).await,
            self.unread(route, headed("content-encoding", "gzip"), b"\x1f\x8b", Code::UnsupportedMediaType)
                .await,
            self.large(route).await,
            only(true, ask(&self.hasty, route.allowed(), endless()).await, &[Code::InvalidRequest]),
            self.crowded(route).await,
            self.slow(route).await,
        ]
    }

    async fn unknown(&self, route: &Route) -> Cell {
        let guarded = route.role.is_some();
        let without =
            only(guarded, ask(&self.usual, route.request(None), Body::empty()).await, &[Code::Unauthorized]);
        let wrong = ask(&self.usual, route.request(Some("guess")), Body::empty()).await;
        without.and(only(guarded, wrong, &[Code::Unauthorized]))
    }

    /// With every role that is not enough.
    async fn unfit(&self, route: &Route) -> Cell {
        let enough = |role: &Role| Some(*role) == route.role || *role == Role::Admin;
        let mut cell = Ok("-".to_owned());
        if matches!(route.role, None | Some(Role::Read)) {
            return cell;
        }
        for role in ROLES.iter().filter(|role| !enough(role)) {
            let answer = ask(&self.usual, route.request(Some(role.as_str())), Body::empty()).await;
            cell = cell.and(only(true, answer, &[Code::Forbidden]));
        }
        cell
    }

    async fn unread(&self, route: &Route, request: Builder, body: &'static [u8], code: Code) -> Cell {
        match route.body {
            Some(_) => only(true, ask(&self.usual, request, Body::from(body)).await, &[code]),
            None => Ok("-".to_owned()),
        }
    }

    /// Every misfit is named in its place.
    async fn misfit(&self, route: &Route, misfits: &[(String, Value)]) -> Cell {
        let mut cell = Ok("-".to_owned());
        for (pointer, body) in misfits.iter().filter(|_| route.body.is_some()) {
            let answer = ask(&self.usual, route.allowed(), Body::from(body.to_string())).await;
            let details = answer.body["details"].as_array().cloned().unwrap_or_default();
            cell = match details.iter().any(|detail| detail["pointer"] == **pointer) {
                true => cell.and(only(true, answer, &[Code::InvalidRequest])),
                false => Err(format!("{body}: {} {}", answer.status, answer.body)),
            };
        }
        cell
    }

    /// Both announced and sent in pieces.
    async fn large(&self, route: &Route) -> Cell {
        let whole = Body::from(vec![b' '; BODY_BYTES_MAX + 1]);
        let piece = || Ok::<_, std::io::Error>(Bytes::from_static(b"          "));
        let pieces = Body::from_stream(stream::iter((0..=BODY_BYTES_MAX / 10).map(move |_| piece())));
        let whole = only(true, ask(&self.usual, route.allowed(), whole).await, &[Code::BodyTooLarge]);
        whole.and(only(true, ask(&self.usual, route.allowed(), pieces).await, &[Code::BodyTooLarge]))
    }

    async fn crowded(&self, route: &Route) -> Cell {
        let answer = ask(&self.full, route.allowed(), Body::empty()).await;
        only(answer.status == StatusCode::TOO_MANY_REQUESTS, answer, &[Code::TooManyRequests])
    }

    async fn slow(&self, route: &Route) -> Cell {
        let answer = ask(&self.stuck, route.allowed(), Body::empty()).await;
        if answer.status == StatusCode::IM_A_TEAPOT {
            return Ok("own".to_owned());
        }
        only(true, answer, &[Code::TemporalUnavailable, Code::OutcomeUnknown])
    }

    fn changes_asked(&self) -> usize {
        let doors = [&self.usual, &self.hasty, &self.full, &self.stuck];
        doors.iter().map(|door| door.desk.changes_asked.load(SeqCst)).sum()
    }
}

async fn ask(door: &Door, request: Builder, body: Body) -> Answer {
    door.send(request.body(body).unwrap()).await
}

fn endless() -> Body {
    Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())
}

/// The status of an answer that is a problem with one of these codes; `-` where there is nothing to go wrong.
fn only(applies: bool, answer: Answer, codes: &[Code]) -> Cell {
    if !applies {
        return Ok("-".to_owned());
    }
    let Some(code) = codes.iter().find(|code| answer.body["code"] == code.as_str()) else {
        return Err(format!("{} {} and not {codes:?}", answer.status, answer.body));
    };
    answer.assert_problem(*code);
    Ok(answer.status.as_u16().to_string())
}

#[tokio::test]
async fn every_route_answers_every_fault_as_the_table_says() {
    let (doors, routes) = (Doors::new(), Route::all());
    let rows = join_all(routes.iter().map(|route| doors.row(route))).await;
    let mut wrong = Vec::new();
    let mut table = HEAD.to_owned();
    let mut line = |cells: &[String]| table += &format!("| {} |\n", cells.join(" | "));
    line(&COLUMNS.map(str::to_owned));
    line(&COLUMNS.map(|_| "---".to_owned()));
    for (route, row) in routes.iter().zip(rows) {
        let named = row.into_iter().zip(COLUMNS);
        let cells = named.map(|(cell, column)| {
            cell.unwrap_or_else(|why| {
                wrong.push(format!("{} {}, {column}: {why}", route.method, route.path));
                "?".to_owned()
            })
        });
        line(&cells.collect::<Vec<_>>());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Reading alone may go on where every place is taken; nothing else of all this has come to anything.
    assert_eq!(doors.changes_asked(), 0, "something was done");
    if std::env::var_os("WRITE").is_some() {
        std::fs::write(FILE, &table).unwrap();
    }
    let committed = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(committed == table, "docs/faults.md is not what the routes answer: run `make faults`\n{table}");
}
