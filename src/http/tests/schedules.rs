//! What comes of schedules and of reconciling, as problems.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::json;

use super::*;
use crate::http::code::Code;
use crate::http::tests::desk::Desk;
use crate::schema::Violation;
use crate::seams::reconcile::{ReconcileError, ReconcileReport, ReconcileRequest, Reconciles};
use crate::seams::schedules::request::{OverlapPolicy, ScheduleRequest};
use crate::seams::schedules::state::{ScheduleDetail, ScheduleSummary};
use crate::seams::schedules::{Accepted, Listing, Preview, ScheduleFailure, Schedules, Stretch};

type Outcome<T> = Result<T, ScheduleFailure>;

impl Desk {
    fn failure<T>(&self) -> Outcome<T> {
        Err(self.schedules_fail_with.lock().clone())
    }
}

#[async_trait]
impl Schedules for Desk {
    async fn create(&self, _: &str, _: &ScheduleRequest) -> Outcome<Accepted> {
        self.asked();
        self.failure()
    }

    async fn put(&self, _: &str, _: &ScheduleRequest, _: Option<&str>) -> Outcome<Accepted> {
        self.asked();
        self.failure()
    }

    async fn preview(
        &self,
        _: &str,
        _: &ScheduleRequest,
        _: Option<DateTime<Utc>>,
        _: usize,
    ) -> Outcome<Preview> {
        self.failure()
    }

    async fn describe(&self, _: &str) -> Outcome<ScheduleDetail> {
        self.failure()
    }

    async fn list(&self, _: &Listing) -> Outcome<(Vec<ScheduleSummary>, Option<String>)> {
        self.failure()
    }

    async fn delete(&self, _: &str) -> Outcome<()> {
        self.asked();
        self.failure()
    }

    async fn pause(&self, _: &str, _: &str) -> Outcome<()> {
        self.asked();
        self.failure()
    }

    async fn unpause(&self, _: &str, _: &str) -> Outcome<()> {
        self.asked();
        self.failure()
    }

    async fn trigger(&self, _: &str, _: Option<OverlapPolicy>) -> Outcome<()> {
        self.asked();
        self.failure()
    }

    async fn backfill(&self, _: &str, _: Stretch) -> Outcome<()> {
        self.asked();
        self.failure()
    }

    fn problem_count(&self) -> usize {
        3
    }
}

#[async_trait]
impl Reconciles for Desk {
    async fn reconcile(&self, _: &ReconcileRequest) -> Result<ReconcileReport, ReconcileError> {
        self.asked();
        Err(self.reconciles_fail_with.lock().clone())
    }
}

#[tokio::test]
async fn every_failure_has_its_code_wherever_it_happens() {
    let door = Door::open();
    let text = || "why".to_owned();
    let violation = || {
        let (loc, pointer) = (vec!["cron".into(), 0.into()], "/cron/0".to_owned());
        vec![Violation { loc, pointer, msg: text(), kind: "cron".to_owned() }]
    };
    let table = [
        (ScheduleFailure::TypeUnavailable(text()), Code::WorkflowUnavailable),
        (ScheduleFailure::NotFound, Code::ScheduleNotFound),
        (ScheduleFailure::Exists, Code::ScheduleExists),
        (ScheduleFailure::Foreign, Code::ScheduleExists),
        (ScheduleFailure::Changed, Code::RevisionMismatch),
        (ScheduleFailure::Invalid(violation()), Code::InvalidRequest),
        (ScheduleFailure::InvalidInput(violation()), Code::InvalidInput),
        (ScheduleFailure::InvalidSchema(text()), Code::InvalidSchema),
        (ScheduleFailure::RegistryQueue(text()), Code::RegistryQueueRefused),
        (ScheduleFailure::AttributesUnavailable(text()), Code::SearchAttributesUnavailable),
        (ScheduleFailure::Refused(text()), Code::InvalidRequest),
        (ScheduleFailure::OverLimit(text()), Code::TooManyRequests),
        (ScheduleFailure::TemporalUnavailable(text()), Code::TemporalUnavailable),
        (ScheduleFailure::OutcomeUnknown(text()), Code::OutcomeUnknown),
        (ScheduleFailure::Internal(text()), Code::Internal),
    ];
    let body = json!({"workflow_type": "x.v1", "cron": ["@daily"]}).to_string();
    for (failure, code) in table {
        *door.desk.schedules_fail_with.lock() = failure;
        door.get("/schedules/a").await.assert_problem(code);
        door.post("/schedules/a", body.clone()).await.assert_problem(code);
        door.post("/schedules/preview", body.clone()).await.assert_problem(code);
        door.post("/schedules/a/pause", "").await.assert_problem(code);
    }
    *door.desk.schedules_fail_with.lock() = ScheduleFailure::InvalidInput(violation());
    let answer = door.post("/schedules/a", body).await;
    assert_eq!(answer.body["details"][0]["loc"], json!(["cron", 0]));
    assert_eq!(answer.body["details"][0]["pointer"], "/input/cron/0");
    assert_eq!(door.get("/registry/status").await.body["schedule_problem_count"], 3);
}

#[tokio::test]
async fn reconciling_says_what_stands_in_its_way() {
    let door = Door::open();
    let names = || vec!["Color".to_owned()];
    let table = [
        (ReconcileError::Unknown(names()), Code::InvalidRequest, "unknown"),
        (ReconcileError::System(names()), Code::InvalidRequest, "system"),
        (ReconcileError::Refused("why".to_owned()), Code::InvalidRequest, "detail"),
        (ReconcileError::Unanswered("why".to_owned()), Code::TemporalUnavailable, "detail"),
    ];
    for (error, code, member) in table {
        *door.desk.reconciles_fail_with.lock() = error;
        let answer = door.post("/registry/temporal/search-attributes", "").await;
        answer.assert_problem(code);
        assert!(!answer.body[member].is_null(), "{}", answer.body);
    }
}
