//! The real front door over an empty registry that nobody writes to: for what is tested around it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use temporal_registry::{
    app::RequestMetrics,
    fleet::Fleet,
    http::{
        self,
        problem::Problem,
        service::Readiness,
        state::{AppState, Parts},
    },
    registry::{Command, Outcome, PreservationRules},
    schema::ValidatorCache,
    seams::{
        ActualAttribute, Attributes, Cursor, Freshness, Message, Milestones, Progress, QueueSeen, Queues,
        Reads, RunError, RunFilter, RunInfo, RunPage, RunRef, Runs, Shutdown, StartError, StartRequest,
        Started, Starts, Task, TaskChange, TaskError, TaskFilter, TaskPage, Tasks, Unanswered, WriteError,
        Writes,
        reconcile::{ReconcileError, ReconcileReport, ReconcileRequest, Reconciles},
        schedules::{
            Accepted, Listing, Preview, ScheduleFailure, Schedules, Stretch,
            request::{OverlapPolicy, ScheduleRequest},
            state::{ScheduleDetail, ScheduleSummary},
        },
    },
    telemetry::Metrics,
    view::View,
};

/// Stands where Temporal would be, and is away.
struct Away;

impl Readiness for Away {
    fn ready(&self) -> Result<(), Problem> {
        Ok(())
    }
}

#[async_trait]
impl Writes for Away {
    async fn submit(&self, _command: &Command) -> Result<Outcome, WriteError> {
        Err(WriteError::Unavailable("away".to_owned()))
    }
}

#[async_trait]
impl Reads for Away {
    fn view(&self) -> Arc<View> {
        Arc::default()
    }

    fn freshness(&self) -> Freshness {
        Freshness {
            age_ms: 0,
            is_running: true,
            is_ready: true,
            run_id: "run".into(),
            history_events: 1,
            up_since_ms: 0,
        }
    }

    async fn catch_up(&self) -> Result<(), Unanswered> {
        Err(Unanswered("away".to_owned()))
    }

    async fn reached(&self, _revision: u64, _within: Duration) -> Result<(), Unanswered> {
        Err(Unanswered("away".to_owned()))
    }

    fn heartbeat(&self, _worker_id: &str, _epoch: Option<u64>, _now_ms: i64) -> Option<(i64, u32)> {
        None
    }

    fn generation(&self) -> u64 {
        0
    }
}

#[async_trait]
impl Starts for Away {
    async fn start(&self, _request: StartRequest) -> Result<Started, StartError> {
        Err(StartError::TemporalUnavailable("away".to_owned()))
    }
}

#[async_trait]
impl Attributes for Away {
    async fn actual(&self) -> Result<BTreeMap<String, ActualAttribute>, Unanswered> {
        Err(Unanswered("away".to_owned()))
    }
}

#[async_trait]
impl Shutdown for Away {
    async fn shut_down(&self) -> Result<(), Unanswered> {
        Err(Unanswered("away".to_owned()))
    }
}

impl Queues for Away {
    fn seen(&self, _: &str) -> Option<Arc<QueueSeen>> {
        None
    }
}

#[async_trait]
impl Reconciles for Away {
    async fn reconcile(&self, _request: &ReconcileRequest) -> Result<ReconcileReport, ReconcileError> {
        Err(ReconcileError::Unanswered("away".to_owned()))
    }
}

#[async_trait]
impl Runs for Away {
    async fn list(&self, _: &RunFilter) -> Result<RunPage, RunError> {
        Ok(RunPage::default())
    }

    async fn describe(&self, _: &RunRef) -> Result<RunInfo, RunError> {
        Err(RunError::NotFound)
    }

    async fn result(&self, _: &RunRef, _: Duration) -> Result<Progress, RunError> {
        Err(RunError::NotFound)
    }

    async fn milestones(&self, _: &Cursor) -> Result<Milestones, RunError> {
        Err(RunError::NotFound)
    }

    async fn signal(&self, _: &RunRef, _: Message) -> Result<(), RunError> {
        Err(RunError::NotFound)
    }

    async fn query(&self, _: &RunRef, _: Message) -> Result<Value, RunError> {
        Err(RunError::NotFound)
    }

    async fn update(&self, _: &RunRef, _: Message, _: Duration) -> Result<Value, RunError> {
        Err(RunError::NotFound)
    }

    async fn cancel(&self, _: &RunRef, _: &str, _: &str) -> Result<(), RunError> {
        Err(RunError::NotFound)
    }

    async fn terminate(&self, _: &RunRef, _: &str, _: &str) -> Result<(), RunError> {
        Err(RunError::NotFound)
    }

    async fn restart(&self, _: &RunRef, _: &str) -> Result<Started, RunError> {
        Err(RunError::NotFound)
    }
}

#[async_trait]
impl Tasks for Away {
    async fn list(&self, _: &TaskFilter) -> Result<TaskPage, RunError> {
        Ok(TaskPage::default())
    }

    async fn get(&self, _: RunInfo) -> Result<Task, TaskError> {
        Err(TaskError::NotATask)
    }

    async fn change(&self, _: RunInfo, _: TaskChange) -> Result<Task, TaskError> {
        Err(TaskError::NotATask)
    }
}

type Scheduled<T> = Result<T, ScheduleFailure>;

fn unscheduled<T>() -> Scheduled<T> {
    Err(ScheduleFailure::TemporalUnavailable("away".to_owned()))
}

#[async_trait]
impl Schedules for Away {
    async fn create(&self, _id: &str, _request: &ScheduleRequest) -> Scheduled<Accepted> {
        unscheduled()
    }

    async fn put(
        &self,
        _id: &str,
        _request: &ScheduleRequest,
        _version: Option<&str>,
    ) -> Scheduled<Accepted> {
        unscheduled()
    }

    async fn preview(
        &self,
        _id: &str,
        _request: &ScheduleRequest,
        _from: Option<DateTime<Utc>>,
        _n: usize,
    ) -> Scheduled<Preview> {
        unscheduled()
    }

    async fn describe(&self, _id: &str) -> Scheduled<ScheduleDetail> {
        unscheduled()
    }

    async fn list(&self, _listing: &Listing) -> Scheduled<(Vec<ScheduleSummary>, Option<String>)> {
        unscheduled()
    }

    async fn delete(&self, _id: &str) -> Scheduled<()> {
        unscheduled()
    }

    async fn pause(&self, _id: &str, _note: &str) -> Scheduled<()> {
        unscheduled()
    }

    async fn unpause(&self, _id: &str, _note: &str) -> Scheduled<()> {
        unscheduled()
    }

    async fn trigger(&self, _id: &str, _overlap_policy: Option<OverlapPolicy>) -> Scheduled<()> {
        unscheduled()
    }

    async fn backfill(&self, _id: &str, _stretch: Stretch) -> Scheduled<()> {
        unscheduled()
    }

    fn problem_count(&self) -> usize {
        0
    }
}

/// The front door with these settings.
pub fn router(settings: http::Settings) -> http::FrontDoor {
    let away = Arc::new(Away);
    let state = AppState::from(Parts {
        readiness: away.clone(),
        metrics: Arc::new(RequestMetrics(Metrics::new())),
        writes: away.clone(),
        reads: away.clone(),
        starts: away.clone(),
        runs: away.clone(),
        tasks: away.clone(),
        schedules: away.clone(),
        attributes: away.clone(),
        reconciles: away.clone(),
        shutdown: away.clone(),
        validators: Arc::new(ValidatorCache::new(16)),
        fleet: Arc::new(Fleet::new(away.clone(), away.clone(), PreservationRules::default())),
        queues: away,
        own_queue: "registry-service".into(),
        slug_ttl_ms: i64::MAX,
    });
    http::router(state, settings).unwrap()
}
