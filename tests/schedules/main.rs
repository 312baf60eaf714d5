//! Schedules against a real Temporal dev server.

mod attributes;
mod calls;
#[path = "../support/dev_server.rs"]
mod dev_server;
mod drift;
mod fields;
mod front;
mod one_shots;
mod preview;
mod registry;

use chrono::{DateTime, Utc};
use temporal_registry::temporal::schedules::action::PreparedSchedule;
use temporal_registry::temporal::schedules::request::ScheduleRequest;
use temporal_registry::temporal::schedules::spec::{CompiledSpec, compile};

/// A request for a type that nobody works on: its runs start and stay.
fn request(change: impl FnOnce(&mut ScheduleRequest)) -> ScheduleRequest {
    let mut request = ScheduleRequest::new("idle.v1");
    change(&mut request);
    request
}

fn compiled(request: &ScheduleRequest) -> CompiledSpec {
    compile(request, Utc::now()).unwrap_or_else(|errors| panic!("{request:?}: {errors:?}"))
}

fn prepared(id: &str, request: &ScheduleRequest) -> PreparedSchedule {
    PreparedSchedule::new(id, request, &compiled(request), "idle-queue")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
