//! The first step of a run: does the input fit, and what is to be done.

use serde_json::Value;

use super::{
    config::{Entry, Kind},
    plan::{Manual, Plan, Remote, Single},
    secrets::Secrets,
    template::{Template, Values},
    validation,
};

/// Seconds an attempt may take beyond its own limit, before its runner is taken for stuck.
const MARGIN: u64 = 60;

/// Characters of a title or a description of a task that are kept: both travel in the history and in lists.
const TEXT: usize = 2_000;

/// The plan for a run of `entry` with `input`.
pub fn prepare(entry: &Entry, input: &Value) -> Plan {
    match validation::violations(&entry.common.input_schema, input) {
        Ok(broken) if broken.is_empty() => {}
        Ok(broken) => {
            let reason = format!("the input does not fit input_schema: {}", validation::summary(&broken));
            return Plan::Rejected { reason };
        }
        Err(reason) => return Plan::Rejected { reason },
    }
    let attempts = if entry.common.idempotent { entry.common.max_attempts } else { 1 };
    match &entry.kind {
        Kind::Subprocess(own) => Plan::Single(Single {
            attempt_seconds: own.timeout_seconds + own.grace_seconds + MARGIN,
            attempts,
        }),
        Kind::Http(own) => Plan::Single(Single { attempt_seconds: own.timeout_seconds + MARGIN, attempts }),
        Kind::HttpAsync(own) => Plan::Remote(Remote {
            timeout_seconds: own.timeout_seconds,
            poll_interval_seconds: own.poll_interval_seconds,
            request_seconds: own.request_timeout_seconds,
            kickoff_attempts: attempts,
            cancellable: own.cancel_url_template.is_some(),
        }),
        Kind::Manual(own) => {
            let secrets = Secrets::default();
            let text = |template: Option<&Template>, default: &str| -> Result<String, String> {
                let rendered = template.map(|template| template.render(Values { input, secrets: &secrets }));
                rendered
                    .unwrap_or_else(|| Ok(default.to_owned()))
                    .map(|text| text.chars().take(TEXT).collect())
            };
            let texts = text(own.title.as_ref(), &entry.common.workflow_type)
                .and_then(|title| Ok((title, text(own.instructions.as_ref(), &entry.common.description)?)));
            match texts {
                Ok((title, description)) => Plan::Manual(Manual {
                    title,
                    description,
                    form_schema: entry.common.output_schema.clone(),
                    timeout_seconds: own.timeout_seconds,
                    lease_seconds: own.lease_seconds,
                }),
                Err(reason) => Plan::Rejected { reason },
            }
        }
    }
}
