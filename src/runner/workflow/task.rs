//! A task for a person: pure state, changed by updates, no clock of its own.
//!
//! An update answers `{"ok": true, "task": …}`, or `{"ok": false, "code", "message", "task"}` when the state says
//! no: an error returned from a handler would lose everything but its text.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::super::{outcome::rfc3339, plan::Manual, validation};

/// Update names a task understands.
pub const UPDATES: [&str; 5] = ["task_claim", "task_release", "task_complete", "task_fail", "task_reassign"];

/// How a task ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Completed with this output.
    Completed(Value),
    /// Failed for this reason.
    Failed(String),
    /// Its time ran out.
    TimedOut,
    /// Its run was cancelled.
    Cancelled,
}

#[derive(Clone, Debug)]
struct Claim {
    assignee: String,
    since: SystemTime,
    until: SystemTime,
}

/// One task and who works on it.
#[derive(Clone, Debug)]
pub struct Task {
    plan: Manual,
    workflow_id: String,
    workflow_type: String,
    input: Value,
    opened: Option<SystemTime>,
    claim: Option<Claim>,
    ending: Option<Ending>,
}

impl Task {
    /// A task nobody has claimed yet.
    pub fn open(
        plan: Manual,
        workflow_id: &str,
        workflow_type: &str,
        input: Value,
        now: Option<SystemTime>,
    ) -> Self {
        Self {
            plan,
            workflow_id: workflow_id.to_owned(),
            workflow_type: workflow_type.to_owned(),
            input,
            opened: now,
            claim: None,
            ending: None,
        }
    }

    /// How it ended, once it has.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Ends it from outside (timeout, cancellation), unless somebody was quicker.
    pub fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    /// The task as the query `task` shows it. A lease that has run out still shows: readers compare
    /// `lease_expires_at` with their own clock, a query has none.
    pub fn view(&self) -> Value {
        let state = match (&self.ending, &self.claim) {
            (Some(Ending::Completed(_)), _) => "completed",
            (Some(Ending::Failed(_)), _) => "failed",
            (Some(Ending::TimedOut), _) => "timed_out",
            (Some(Ending::Cancelled), _) => "cancelled",
            (None, Some(_)) => "claimed",
            (None, None) => "open",
        };
        let due = self.opened.zip(self.plan.timeout_seconds).map(|(at, secs)| at + Duration::from_secs(secs));
        json!({
            "workflow_id": self.workflow_id,
            "workflow_type": self.workflow_type,
            "state": state,
            "title": self.plan.title,
            "description": self.plan.description,
            "input": self.input,
            "form_schema": self.plan.form_schema,
            "created_at": self.opened.map(rfc3339),
            "due_at": due.map(rfc3339),
            "assignee": self.claim.as_ref().map(|claim| claim.assignee.clone()),
            "claimed_at": self.claim.as_ref().map(|claim| rfc3339(claim.since)),
            "lease_expires_at": self.claim.as_ref().map(|claim| rfc3339(claim.until)),
        })
    }

    /// Applies the update `name` at `now` and gives its answer.
    pub fn apply(&mut self, name: &str, input: Result<Value, String>, now: Option<SystemTime>) -> Value {
        let refusal = match (input, now, &self.ending) {
            (_, _, Some(_)) => Some(("task_closed", "the task has ended".to_owned(), None)),
            (Err(reason), ..) => Some(("invalid_request", reason, None)),
            (_, None, _) => Some(("invalid_request", "the run has not started".to_owned(), None)),
            (Ok(Value::Object(input)), Some(now), None) => self.change(name, &input, now).err(),
            (Ok(_), ..) => Some(("invalid_request", "the argument must be an object".to_owned(), None)),
        };
        match refusal {
            None => json!({"ok": true, "task": self.view()}),
            Some((code, message, details)) => {
                let mut answer = json!({"ok": false, "code": code, "message": message, "task": self.view()});
                if let (Some(details), Some(members)) = (details, answer.as_object_mut()) {
                    members.insert("details".to_owned(), details);
                }
                answer
            }
        }
    }

    fn change(&mut self, name: &str, input: &Map<String, Value>, now: SystemTime) -> Result<(), Refusal> {
        self.claim = self.claim.take().filter(|claim| claim.until > now);
        let allowed: &[&str] = match name {
            "task_claim" => &["assignee", "lease_seconds"],
            "task_reassign" => &["assignee", "lease_seconds"],
            "task_release" => &["assignee"],
            "task_complete" => &["output", "assignee"],
            _ => &["reason", "assignee"],
        };
        if let Some(unknown) = input.keys().find(|key| !allowed.contains(&key.as_str())) {
            return Err(invalid(format!("unknown member `{unknown}`; allowed: {}", allowed.join(", "))));
        }
        let who = text(input, "assignee")?;
        if name != "task_reassign" {
            self.held_by_another(who.as_deref())?;
        }
        match name {
            "task_claim" | "task_reassign" => {
                let assignee = who.ok_or_else(|| invalid("`assignee` is required".to_owned()))?;
                let lease = match input.get("lease_seconds") {
                    None | Some(Value::Null) => self.plan.lease_seconds,
                    Some(value) => value
                        .as_u64()
                        .filter(|seconds| (1..=604_800).contains(seconds))
                        .ok_or_else(|| invalid("`lease_seconds` must be 1..604800".to_owned()))?,
                };
                let since = self.claim.as_ref().filter(|claim| claim.assignee == assignee);
                let since = since.map_or(now, |claim| claim.since);
                self.claim = Some(Claim { assignee, since, until: now + Duration::from_secs(lease) });
            }
            "task_release" => self.claim = None,
            "task_complete" => {
                let output = input.get("output").cloned().unwrap_or(Value::Null);
                let broken = validation::violations(&self.plan.form_schema, &output).map_err(invalid)?;
                if !broken.is_empty() {
                    let message = "the output does not fit the form".to_owned();
                    return Err(("invalid_output", message, Some(validation::details(&broken))));
                }
                self.ending = Some(Ending::Completed(output));
            }
            _ => {
                let reason = text(input, "reason")?.unwrap_or_else(|| "no reason given".to_owned());
                self.ending = Some(Ending::Failed(reason));
            }
        }
        Ok(())
    }

    /// Refuses when a live claim belongs to somebody else. Who names nobody acts as an operator, except to claim.
    fn held_by_another(&self, who: Option<&str>) -> Result<(), Refusal> {
        match (&self.claim, who) {
            (Some(claim), Some(who)) if claim.assignee != who => Err((
                "task_claimed",
                format!("claimed by {} until {}", claim.assignee, rfc3339(claim.until)),
                None,
            )),
            _ => Ok(()),
        }
    }
}

type Refusal = (&'static str, String, Option<Value>);

fn invalid(message: String) -> Refusal {
    ("invalid_request", message, None)
}

fn text(input: &Map<String, Value>, key: &str) -> Result<Option<String>, Refusal> {
    match input.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() && text.len() <= 1_000 => Ok(Some(text.clone())),
        Some(_) => Err(invalid(format!("`{key}` must be a text of 1..1000 characters"))),
    }
}

/// The answer to a task update on a run that has no task.
pub fn not_a_task() -> Value {
    json!({"ok": false, "code": "task_not_found", "message": "this run is not waiting for a person", "task": null})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn task() -> Task {
        let form = json!({"type": "object", "required": ["approved"],
            "properties": {"approved": {"type": "boolean"}}});
        let plan = Manual {
            title: "Approve".into(),
            description: String::new(),
            form_schema: form,
            timeout_seconds: Some(60),
            lease_seconds: 30,
        };
        Task::open(plan, "wf-1", "approve.v1", json!({"amount": 3}), Some(at(0)))
    }

    /// One line is one update: when, name, argument, then `ok` or a refusal's code, and the state after it.
    #[test]
    fn a_task_is_held_by_one_at_a_time() {
        let mut task = task();
        let table = [
            (1, "task_claim", json!({}), "invalid_request", "open"),
            (1, "task_claim", json!({"assignee": "ann", "lease_seconds": 0}), "invalid_request", "open"),
            (1, "task_claim", json!({"assignee": "ann", "lease_seconds": 10}), "ok", "claimed"),
            (2, "task_claim", json!({"assignee": "bob"}), "task_claimed", "claimed"),
            (2, "task_release", json!({"assignee": "bob"}), "task_claimed", "claimed"),
            (
                2,
                "task_complete",
                json!({"assignee": "bob", "output": {"approved": true}}),
                "task_claimed",
                "claimed",
            ),
            (3, "task_release", json!({"assignee": "ann"}), "ok", "open"),
            (4, "task_claim", json!({"assignee": "ann", "lease_seconds": 10}), "ok", "claimed"),
            (15, "task_claim", json!({"assignee": "bob"}), "ok", "claimed"),
            (16, "task_reassign", json!({"assignee": "cid"}), "ok", "claimed"),
            (17, "task_complete", json!({"output": {"approved": "yes"}}), "invalid_output", "claimed"),
            (17, "task_complete", json!({"outputs": {}}), "invalid_request", "claimed"),
            (17, "task_complete", json!([]), "invalid_request", "claimed"),
            (
                18,
                "task_complete",
                json!({"assignee": "cid", "output": {"approved": true}}),
                "ok",
                "completed",
            ),
            (19, "task_fail", json!({"reason": "late"}), "task_closed", "completed"),
        ];
        for (second, name, input, expected, state) in table {
            let answer = task.apply(name, Ok(input.clone()), Some(at(second)));
            let verdict = answer["code"].as_str().unwrap_or("ok");
            assert_eq!(
                (verdict, answer["task"]["state"].as_str().unwrap()),
                (expected, state),
                "{name} {input}"
            );
        }
        assert_eq!(task.ending(), Some(&Ending::Completed(json!({"approved": true}))));
    }

    #[test]
    fn a_view_shows_what_a_person_needs() {
        let view = task().view();
        assert_eq!(view["due_at"], "1970-01-01T00:01:00.000Z");
        assert_eq!(view["input"]["amount"], 3);
        assert_eq!(view["form_schema"]["required"][0], "approved");
    }
}
