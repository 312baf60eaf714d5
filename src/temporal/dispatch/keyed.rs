//! Starts with an idempotency key: one key, one run, however often and wherever it is asked for.
//!
//! The registry keeps one record for each key: the workflow id chosen for it and, once known, the run. Whoever makes the
//! record starts the run; everybody else waits for it, and looks for the run in Temporal when nobody notes it in time. The
//! request id follows from the record, so Temporal itself takes the start once.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Dispatch, call::start_error, ids_taken, is_ours_to_choose, made_up, message::Message, refused};
use crate::{
    clock,
    registry::{Command, Outcome, Reservation, Reserved},
    seams::{IdConflict, IdempotencyKey, RunId, StartError, StartRequest, Started},
    temporal::connection::CallError,
};

/// How long the one who made a record gets to note its run. Beyond it the run is looked for in Temporal.
const SETTLED_WITHIN: Duration = Duration::from_millis(1_500);
/// Attempts to note a run.
const SETTLE_TRIES: u32 = 5;

/// What is known of the run of a record.
enum Found {
    /// This is it.
    Run(Started),
    /// Its id turned out to be in use: there is a record with another one.
    Moved,
    /// It was not started.
    Nothing,
}

impl Dispatch {
    /// The run that a request was answered with before, as far as this replica knows.
    pub(super) async fn known_run(&self, request: &StartRequest) -> Result<Option<Started>, StartError> {
        let Some(key) = &request.idempotency else { return Ok(None) };
        let view = self.reads.view();
        let Some(reserved) = view.reservations.get(&key.scoped(&request.caller)) else { return Ok(None) };
        // Records are dropped when the registry next looks at them; until then they may linger here.
        let age_ms = u128::try_from(clock::now_ms() - reserved.at_ms).unwrap_or(0);
        if age_ms > self.key_ttl.as_millis() {
            return Ok(None);
        }
        if reserved.fingerprint != key.fingerprint {
            return Err(StartError::KeyReused);
        }
        Ok(self.settled(reserved, request).await)
    }

    /// Starts the run of a key, or finds it.
    pub(super) async fn launch_once(
        &self,
        request: &StartRequest,
        key: &IdempotencyKey,
        message: &Message,
    ) -> Result<Started, StartError> {
        let mut instead_of = None;
        for _ in 0..super::IDS_TRIED_MAX {
            let (reserved, is_new) = self.reserve(request, key, instead_of.take()).await?;
            if let Some(found) = self.settled(&reserved, request).await {
                return Ok(found);
            }
            let request_id = request_id(&reserved);
            let found =
                if is_new { Found::Nothing } else { self.find(&reserved, &request_id, request).await? };
            let outcome = match found {
                Found::Run(found) => Ok(found),
                Found::Moved => continue,
                Found::Nothing => self.send(message, &reserved.workflow_id, &request_id).await,
            };
            match outcome {
                Ok(started) => {
                    self.settle(&reserved, &started);
                    return Ok(Started { created: started.created && is_new, ..started });
                }
                Err(StartError::AlreadyStarted { .. }) if is_ours_to_choose(&request.run_id) => {
                    instead_of = Some(reserved.workflow_id);
                }
                Err(error) => return Err(error),
            }
        }
        Err(ids_taken())
    }

    async fn reserve(
        &self,
        request: &StartRequest,
        key: &IdempotencyKey,
        instead_of: Option<String>,
    ) -> Result<(Reserved, bool), StartError> {
        let (workflow_id, name) = match &request.run_id {
            RunId::Given(workflow_id) => (workflow_id.clone(), None),
            RunId::Named(name) => (String::new(), Some(name.clone())),
            RunId::Prefixed(prefix) => (made_up(prefix), None),
        };
        let (key, fingerprint) = (key.scoped(&request.caller), key.fingerprint.clone());
        let reservation = Reservation { key, fingerprint, workflow_id, name, instead_of };
        match self.writes.submit(&Command::Reserve(reservation)).await? {
            Outcome::Reserved { reserved, created } => Ok((reserved, created)),
            Outcome::Refused(refusal) => Err(refused(refusal)),
            other => Err(StartError::Internal(format!("a reservation was answered with {other:?}"))),
        }
    }

    /// The run of a record that somebody else made: as they note it, or as Temporal knows it.
    async fn find(
        &self,
        reserved: &Reserved,
        request_id: &str,
        request: &StartRequest,
    ) -> Result<Found, StartError> {
        let age_ms = u64::try_from(clock::now_ms() - reserved.at_ms).unwrap_or(0);
        let deadline = Instant::now() + SETTLED_WITHIN.saturating_sub(Duration::from_millis(age_ms));
        loop {
            let view = self.reads.view();
            if let Some(now) = view.reservations.get(&reserved.key) {
                if now.workflow_id != reserved.workflow_id {
                    return Ok(Found::Moved);
                }
                if let Some(run) = self.settled(now, request).await {
                    return Ok(Found::Run(run));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.look_up(reserved, request_id).await;
            }
            match self.reads.reached(view.revision + 1, left).await {
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Asks Temporal whether the run of a record was started.
    async fn look_up(&self, reserved: &Reserved, request_id: &str) -> Result<Found, StartError> {
        let workflow_id = &reserved.workflow_id;
        let failed = |error: CallError| start_error(error, workflow_id);
        let mut run = String::new();
        // The latest run may be a continuation of the one that was started: then the first of its chain is asked.
        loop {
            let found = match self.describe(workflow_id, &run).await {
                Ok(found) => found,
                Err(CallError::NotFound(_)) => return Ok(Found::Nothing),
                Err(error) => return Err(failed(error)),
            };
            let info = found.workflow_execution_info.unwrap_or_default();
            let run_id = info.execution.unwrap_or_default().run_id;
            let requests = found.workflow_extended_info.unwrap_or_default().request_id_infos;
            if requests.contains_key(request_id) {
                let task_queue =
                    found.execution_config.unwrap_or_default().task_queue.unwrap_or_default().name;
                return Ok(Found::Run(Started {
                    workflow_id: workflow_id.clone(),
                    run_id,
                    task_queue,
                    workflow_type: info.r#type.unwrap_or_default().name,
                    created: false,
                }));
            }
            if run.is_empty() && !info.first_run_id.is_empty() && info.first_run_id != run_id {
                run = info.first_run_id;
                continue;
            }
            // A run of somebody else's. Older than the record: ours was never started. Younger: ours may have come and gone
            // before it, and must not be started twice.
            let began_ms =
                info.start_time.map_or(0, |at| at.seconds * 1000 + i64::from(at.nanos) / 1_000_000);
            if began_ms < reserved.at_ms {
                return Ok(Found::Nothing);
            }
            return Err(StartError::AlreadyStarted { workflow_id: workflow_id.clone(), run_id });
        }
    }

    /// The run of a record, once it is known. A record holds no type: a run that may have been there before is asked for its own.
    async fn settled(&self, reserved: &Reserved, request: &StartRequest) -> Option<Started> {
        let (run_id, task_queue) = reserved.run.clone()?;
        let workflow_id = reserved.workflow_id.clone();
        let found = if may_find(request) { self.found(&workflow_id, &run_id).await } else { None };
        let workflow_type = found.map_or_else(|| request.workflow_type.clone(), |(_, own)| own);
        Some(Started { workflow_id, run_id, task_queue, workflow_type, created: false })
    }

    /// Notes the run of a record, without keeping the caller waiting for it.
    fn settle(&self, reserved: &Reserved, started: &Started) {
        let writes = self.writes.clone();
        let command = Command::Settle {
            key: reserved.key.clone(),
            workflow_id: started.workflow_id.clone(),
            run: (started.run_id.clone(), started.task_queue.clone()),
        };
        tokio::spawn(async move {
            let mut pause = Duration::from_millis(50);
            for _ in 0..SETTLE_TRIES {
                match writes.submit(&command).await {
                    Ok(_) => return,
                    Err(error) => tracing::debug!(%error, "a run is not noted for its key yet"),
                }
                tokio::time::sleep(pause).await;
                pause *= 4;
            }
            tracing::warn!("a run could not be noted for its key; it will be looked up when asked for");
        });
    }
}

/// The request id of a record: the same for all who start its run, another for the next record of the same key.
fn request_id(reserved: &Reserved) -> String {
    let text = format!("{}\n{}\n{}", reserved.key, reserved.fingerprint, reserved.at_ms);
    hex::encode(Sha256::digest(text))
}

/// Whether a run that was there before will do, of whichever type.
fn may_find(request: &StartRequest) -> bool {
    let is_shared = request.signal.is_some() || request.id_conflict == IdConflict::UseExisting;
    is_shared && !is_ours_to_choose(&request.run_id)
}
