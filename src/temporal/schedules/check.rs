//! Collects what is wrong with a request.

use super::request::{FieldError, ScheduleRequest};
use super::spec::{CATCHUP_WINDOW_SECONDS_MIN, WAIT_SECONDS_MAX};

/// The longest name that Temporal takes by default, in bytes, less the `-2027-03-28T01:00:00Z` it appends to a
/// scheduled workflow's id.
const NAME_BYTES_MAX: usize = 1_000 - 21;

/// What is wrong so far.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    errors: Vec<FieldError>,
}

impl Complaints {
    /// Adds one.
    pub(super) fn add<S: AsRef<str>>(&mut self, field: &[S], kind: &'static str, msg: &str) {
        let field = field.iter().map(|part| part.as_ref().to_owned()).collect();
        self.errors.push(FieldError { field, msg: msg.to_owned(), kind });
    }

    /// Complains unless `min <= value <= max`; whether all is well.
    pub(super) fn within<S: AsRef<str>>(&mut self, field: &[S], value: i64, min: i64, max: i64) -> bool {
        if value < min {
            self.add(field, "greater_than_equal", &format!("must be {min} or more"));
        } else if value > max {
            self.add(field, "less_than_equal", &format!("must be {max} or less"));
        }
        (min..=max).contains(&value)
    }

    /// Complains of a list that is too long.
    pub(super) fn at_most(&mut self, field: &[&str], found: usize, max: usize) {
        if found > max {
            self.add(field, "too_long", &format!("has {found} entries, at most {max} are allowed"));
        }
    }

    /// The end: all well, or everything that is not.
    pub(super) fn into_result(self) -> Result<(), Vec<FieldError>> {
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }

    /// Checks what is started.
    pub(super) fn about_action(&mut self, request: &ScheduleRequest) {
        if request.workflow_type.trim().is_empty() {
            self.add(&["workflow_type"], "missing", "is required");
        }
        let names = [
            ("workflow_type", Some(request.workflow_type.as_str())),
            ("workflow_id", request.workflow_id.as_deref()),
            ("task_queue", request.task_queue.as_deref()),
        ];
        for (field, name) in names {
            if name.is_some_and(|name| name.len() > NAME_BYTES_MAX) {
                self.add(&[field], "too_long", &format!("must be at most {NAME_BYTES_MAX} bytes"));
            }
        }
        let timeouts = &request.timeouts;
        self.positive(&["execution_timeout_seconds"], timeouts.execution_seconds);
        self.positive(&["run_timeout_seconds"], timeouts.run_seconds);
        self.positive(&["task_timeout_seconds"], timeouts.task_seconds);
        let Some(retry) = &request.retry_policy else { return };
        self.positive(&["retry_policy", "initial_interval_seconds"], retry.initial_interval_seconds);
        self.positive(&["retry_policy", "maximum_interval_seconds"], retry.maximum_interval_seconds);
        if retry.backoff_coefficient.is_some_and(|growth| !(growth >= 1.0 && growth.is_finite())) {
            self.add(&["retry_policy", "backoff_coefficient"], "greater_than_equal", "must be 1 or more");
        }
        if retry.maximum_attempts.is_some_and(|attempts| attempts < 0) {
            self.add(&["retry_policy", "maximum_attempts"], "greater_than_equal", "must be 0 or more");
        }
        if let (Some(first), Some(longest)) = (retry.initial_interval_seconds, retry.maximum_interval_seconds)
            && longest < first
        {
            let field = ["retry_policy", "maximum_interval_seconds"];
            self.add(&field, "greater_than_equal", "must not be less than initial_interval_seconds");
        }
    }

    /// Checks how it is started.
    pub(super) fn about_policies(&mut self, request: &ScheduleRequest) {
        if let Some(jitter) = request.jitter_seconds {
            self.within(&["jitter_seconds"], jitter, 0, WAIT_SECONDS_MAX);
        }
        let window = request.catchup_window_seconds;
        self.within(&["catchup_window_seconds"], window, CATCHUP_WINDOW_SECONDS_MIN, WAIT_SECONDS_MAX);
        if let Some(limit) = request.limited_actions {
            self.within(&["limited_actions"], limit, 1, i64::MAX);
        }
    }

    fn positive(&mut self, field: &[&str], seconds: Option<f64>) {
        let Some(seconds) = seconds else { return };
        let max = WAIT_SECONDS_MAX as f64;
        // Less than a millisecond the server may round to zero, which is no limit at all.
        if seconds.is_nan() || seconds < 0.001 {
            self.add(field, "greater_than", "must be more than 0");
        } else if seconds > max {
            self.add(field, "less_than_equal", &format!("must be {max} or less"));
        }
    }
}
