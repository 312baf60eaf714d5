//! One command in, one outcome out.

use super::{Command, Outcome, state::Registry};

impl Registry {
    /// Applies a command at `now_ms` (milliseconds since the Unix epoch). A refusal changes nothing.
    pub fn apply(&mut self, command: &Command, now_ms: i64) -> Outcome {
        match command {
            Command::Register(registration) => self.register(registration, now_ms),
            Command::Renew(renewals) => {
                self.renew(renewals, now_ms);
                Outcome::Done
            }
            Command::Drain { worker_id, epoch } => self.drain(worker_id, *epoch),
            Command::Deregister { worker_id, epoch } => self.deregister(worker_id, *epoch),
            Command::CreateType(claim) => match self.foreign_queue(&claim.spec.task_queue) {
                Ok(()) => self.create_type(claim, now_ms),
                Err(refusal) => Outcome::Refused(refusal),
            },
            Command::ReplaceType { claim, base, base_changed, keeps_enabled } => {
                match self.foreign_queue(&claim.spec.task_queue) {
                    Ok(()) => self.replace_type(claim, (*base, *base_changed), *keeps_enabled, now_ms),
                    Err(refusal) => Outcome::Refused(refusal),
                }
            }
            Command::SetEnabled { workflow_type, enabled } => self.set_enabled(workflow_type, *enabled),
            Command::DeleteType { workflow_type, base, base_changed } => {
                self.delete_type(workflow_type, (*base, *base_changed))
            }
            Command::Claim { name } => self.claim(name, now_ms),
            Command::ResetSlug { name } => self.reset_slug(name, now_ms),
            Command::Reserve(wanted) => self.reserve(wanted, now_ms),
            Command::Settle { key, workflow_id, run } => self.settle(key, workflow_id, run),
            Command::Sweep => {
                self.sweep(now_ms);
                Outcome::Done
            }
            Command::ServiceStarted { process_id, limits } => {
                self.service_started(process_id, limits, now_ms);
                Outcome::Done
            }
            Command::Provisioned(results) => {
                self.provisioned(results);
                Outcome::Done
            }
            Command::Measured { raw_bytes, packed_bytes } => {
                self.measured(*raw_bytes, *packed_bytes);
                Outcome::Done
            }
        }
    }
}
