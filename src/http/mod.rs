//! The front door: parse, authorise, answer. Knows JSON and status codes, nothing of Temporal.
//!
//! A resource is one file with a `routes()` that says for each route its role, its handlers and the
//! problems they answer with; `resources` lists them. Everything else (guards, limits, documentation,
//! audit) follows from that.

mod admin;
mod admission;
mod answers;
pub mod auth;
pub mod body;
mod catalogue;
pub mod code;
mod docs;
mod edge;
pub mod endpoint;
pub mod etag;
mod execute;
mod fresh;
mod front;
mod gate;
mod heartbeats;
mod hosts;
mod idempotency;
mod inventory;
mod labels;
pub mod limits;
mod loopback;
pub mod openapi;
mod outcome;
pub mod page;
pub mod params;
pub mod problem;
pub mod reconcile;
mod refusal;
mod registration;
mod revisions;
mod router;
mod run;
mod run_ends;
mod run_events;
mod run_messages;
mod run_problem;
mod runs;
mod schedules;
mod search_attributes;
pub mod service;
mod serving;
mod shape;
pub mod shapes;
mod start_body;
mod starts;
pub mod state;
pub mod static_workers;
mod status;
mod task_problem;
mod task_queues;
mod tasks;
#[cfg(test)]
mod tests;
mod waiting;
mod warnings;
mod workers;
mod workflow_ids;
mod workflows;

pub use admission::Grounds;
pub use edge::request_id;
pub use front::FrontDoor;
pub use router::{Settings, is_free_for_metrics, router};

use endpoint::Routes;

/// All routes there are.
fn resources() -> Routes {
    service::routes()
        .merge(docs::routes())
        .merge(workers::routes())
        .merge(heartbeats::routes())
        .merge(catalogue::routes())
        .merge(workflows::routes())
        .merge(revisions::routes())
        .merge(search_attributes::routes())
        .merge(reconcile::routes())
        .merge(schedules::routes())
        .merge(task_queues::routes())
        .merge(hosts::routes())
        .merge(status::routes())
        .merge(admin::routes())
        .merge(workflow_ids::routes())
        .merge(starts::routes())
        .merge(run::routes())
        .merge(execute::routes())
        .merge(runs::routes())
        .merge(run_events::routes())
        .merge(run_messages::routes())
        .merge(run_ends::routes())
        .merge(tasks::routes())
}
