//! What can go wrong with a call about a schedule.

use temporalio_client::tonic::{Code, Status};

/// Why a call about a schedule failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// There is no such schedule.
    #[error("no such schedule")]
    NotFound,
    /// There is a schedule of this id.
    #[error("the schedule exists already")]
    AlreadyExists,
    /// The server refuses the request as it is.
    #[error("refused: {0}")]
    Invalid(String),
    /// Somebody else changed the schedule meanwhile.
    #[error("the schedule was changed meanwhile")]
    Conflict,
    /// The server cannot be reached or cannot serve now; try again.
    #[error("Temporal is unavailable: {0}")]
    Unavailable(String),
    /// No answer in time: what was asked may have happened or not.
    #[error("no answer from Temporal in time: {0}")]
    OutcomeUnknown(String),
    /// Over a limit of the server; try again later.
    #[error("over a limit of Temporal: {0}")]
    ResourceExhausted(String),
    /// The registry's own credentials do not suffice.
    #[error("Temporal denies access: {0}")]
    PermissionDenied(String),
    /// The server failed, or answered what it should not.
    #[error("Temporal failed: {0}")]
    Internal(String),
}

impl From<Status> for ScheduleError {
    fn from(status: Status) -> Self {
        let text = status.message().to_owned();
        match status.code() {
            // The namespace itself may be what is not found, which is no statement about a schedule.
            Code::NotFound if names_missing_namespace(&status) => Self::Unavailable(text),
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::AlreadyExists,
            Code::InvalidArgument | Code::OutOfRange => Self::Invalid(text),
            Code::FailedPrecondition => Self::Conflict,
            Code::Unavailable | Code::Aborted => Self::Unavailable(text),
            // A call given up on this side is "cancelled", one given up on the other is past its deadline.
            Code::DeadlineExceeded | Code::Cancelled => Self::OutcomeUnknown(text),
            Code::ResourceExhausted => Self::ResourceExhausted(text),
            Code::PermissionDenied | Code::Unauthenticated => Self::PermissionDenied(text),
            Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => {
                Self::Internal(format!("{:?}: {text}", status.code()))
            }
        }
    }
}

fn names_missing_namespace(status: &Status) -> bool {
    const MARK: &[u8] = b"NamespaceNotFoundFailure";
    status.details().windows(MARK.len()).any(|window| window == MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_meaning() {
        let text = || "why".to_owned();
        let table = [
            (Code::NotFound, ScheduleError::NotFound),
            (Code::AlreadyExists, ScheduleError::AlreadyExists),
            (Code::InvalidArgument, ScheduleError::Invalid(text())),
            (Code::OutOfRange, ScheduleError::Invalid(text())),
            (Code::FailedPrecondition, ScheduleError::Conflict),
            (Code::Unavailable, ScheduleError::Unavailable(text())),
            (Code::Aborted, ScheduleError::Unavailable(text())),
            (Code::Cancelled, ScheduleError::OutcomeUnknown(text())),
            (Code::DeadlineExceeded, ScheduleError::OutcomeUnknown(text())),
            (Code::ResourceExhausted, ScheduleError::ResourceExhausted(text())),
            (Code::PermissionDenied, ScheduleError::PermissionDenied(text())),
            (Code::Unauthenticated, ScheduleError::PermissionDenied(text())),
            (Code::Unimplemented, ScheduleError::Internal("Unimplemented: why".to_owned())),
        ];
        for (code, expected) in table {
            assert_eq!(ScheduleError::from(Status::new(code, "why")), expected, "{code:?}");
        }
    }
}
