//! Workers that the configuration declares: bodies as in `POST /registry/workers`, of workers that never heartbeat.

use std::time::Duration;

use serde_json::Value;

use super::admission::Grounds;
use super::auth::Identity;
use super::body::shaped;
use super::problem::Problem;
use super::registration::{Checked, RegistrationShape};
use super::state::AppState;
use crate::{registry::VerdictKind, schema::Violation};

/// Where they are in the configuration.
pub const KEY: &str = "registry.static_workers";
/// Pause before a registration that found nobody to take it is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Something that is wrong with the declarations.
#[derive(Debug, PartialEq, Eq)]
pub struct Misdeclared {
    /// The place in the configuration.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

/// Static workers that may be registered.
pub struct StaticWorkers(Vec<Checked>);

impl StaticWorkers {
    /// Checks the bodies as those of registrations are.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub async fn check(grounds: Grounds<'_>, bodies: &[Value]) -> Result<Self, Vec<Misdeclared>> {
        let (mut checked, mut wrong) = (Vec::new(), Vec::new());
        for (at, body) in bodies.iter().enumerate() {
            match check(grounds, body).await {
                Ok(worker)
                    if checked.iter().any(|known: &Checked| known.worker_id() == worker.worker_id()) =>
                {
                    let path = format!("{KEY}[{at}].worker_id");
                    let message = format!("{:?} is given twice", worker.worker_id());
                    wrong.push(Misdeclared { path, message });
                }
                Ok(worker) => checked.push(worker),
                Err(problem) => wrong.extend(misdeclared(at, problem)),
            }
        }
        if wrong.is_empty() { Ok(Self(checked)) } else { Err(wrong) }
    }

    /// Registers them, trying again for as long as the registry cannot be reached. What became of them is told in the
    /// log.
    pub async fn register(self, state: AppState) {
        for worker in self.0 {
            while !settled(&state, &worker).await {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}

async fn check(grounds: Grounds<'_>, body: &Value) -> Result<Checked, Problem> {
    let body: RegistrationShape = shaped(body.clone())?;
    let checked = Checked::new(grounds, &Identity::configuration(), body, false).await?;
    Ok(checked.without_heartbeats())
}

/// Registers one; `false`: that may succeed later.
async fn settled(state: &AppState, worker: &Checked) -> bool {
    let worker_id = worker.worker_id();
    match worker.clone().submit(state).await {
        Ok(registered) => {
            for verdict in &registered.verdicts {
                let workflow_type = &verdict.workflow_type;
                match verdict.kind {
                    VerdictKind::Incompatible | VerdictKind::Unavailable => {
                        let why =
                            verdict.reason.as_deref().unwrap_or("it breaks inputs that are accepted now");
                        tracing::warn!(
                            worker_id,
                            workflow_type,
                            why,
                            "a type of a static worker is not taken"
                        );
                    }
                    VerdictKind::Created
                    | VerdictKind::Unchanged
                    | VerdictKind::Revised
                    | VerdictKind::Pending => {}
                }
            }
            tracing::info!(worker_id, changed = registered.changed, "static worker registered");
            true
        }
        Err(problem) => {
            let passes = problem.status().is_server_error() || problem.status().as_u16() == 429;
            tracing::warn!(worker_id, passes, "a static worker is not registered: {}", problem.detail);
            !passes
        }
    }
}

/// What is wrong with the body at this place of the list.
fn misdeclared(at: usize, problem: Problem) -> Vec<Misdeclared> {
    let inside = |found: Violation| Misdeclared {
        path: format!("{KEY}[{at}]{}", path(&found.loc)),
        message: found.msg,
    };
    if problem.details.is_empty() {
        return vec![Misdeclared { path: format!("{KEY}[{at}]"), message: problem.detail }];
    }
    problem.details.into_iter().map(inside).collect()
}

/// A place in a body as a path in a configuration.
fn path(loc: &[Value]) -> String {
    let step = |step: &Value| match step.as_str() {
        Some(name) => format!(".{name}"),
        None => format!("[{step}]"),
    };
    loc.iter().skip(1).map(step).collect()
}
