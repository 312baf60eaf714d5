//! What went wrong with a run, as a problem.

use serde_json::json;

use super::code::Code;
use super::problem::Problem;
use super::shapes::FailureShape;
use super::starts::start_problem;
use crate::seams::RunError;

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        match error {
            RunError::NotFound => Problem::new(Code::RunNotFound, "there is no such run"),
            RunError::Closed => closed(),
            RunError::Refused(why) => {
                Problem::new(Code::InvalidRequest, format!("Temporal refuses it: {why}"))
            }
            RunError::Failed(failure) => {
                let detail = format!("the workflow refuses it: {}", failure.message);
                Problem::new(Code::MessageFailed, detail).with("failure", json!(FailureShape::from(failure)))
            }
            RunError::NoWorker(why) => {
                Problem::new(Code::NoHealthyWorker, format!("no worker answered in time: {why}"))
            }
            RunError::OverLimit(why) => Problem::new(Code::TooManyRequests, why),
            RunError::TemporalUnavailable(why) => Problem::new(Code::TemporalUnavailable, why),
            RunError::OutcomeUnknown(why) => {
                let detail =
                    format!("no answer in time ({why}); it may still take effect: retry with the same key");
                Problem::new(Code::OutcomeUnknown, detail)
            }
            RunError::Internal(why) => {
                tracing::error!(why, "a call about a run failed");
                Problem::new(Code::Internal, "this failed in a way nobody expects; see the log")
            }
            RunError::Start(error) => start_problem(error, &["input"]),
        }
    }
}

/// 409: the run has ended.
pub(super) fn closed() -> Problem {
    Problem::new(Code::RunClosed, "the run has ended")
}
