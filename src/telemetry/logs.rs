//! Log lines: JSON, one object a line, or text for people; on standard error, and audit lines where they are asked for.

use std::{
    fs::OpenOptions,
    io::{IsTerminal, stderr},
    sync::Mutex,
};

use anyhow::Context;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use super::traces::{self, Traces};
use crate::config::{AuditSettings, LogFormat, LogLevel, LoggingSettings, ObservabilitySettings};

/// Target of audit lines.
const AUDIT: &str = "audit";

/// Libraries that are too talkative below `warn`, unless debugging is asked for.
const NOISY: &[&str] = &["temporalio", "h2", "hyper", "tonic", "tower", "rustls", "reqwest"];

/// What the SDK says of every attempt of every call while Temporal is away.
const RETRIES: &str = "temporalio_client::retry";

/// Who tells that Temporal is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outages {
    /// This program, once: the SDK's own lines are left out, unless debugging is asked for.
    Ours,
    /// The SDK, again and again, as nothing else here would notice.
    Sdk,
}

/// Sends log lines to standard error from now on, audit lines to their file when one is set, and traces when they are
/// on: then it needs a Tokio runtime with several threads, and sends until what it returns is dropped.
///
/// # Errors
/// When the audit file cannot be opened, the collector's address is none, or logging was set up before.
pub fn init(settings: &ObservabilitySettings, outages: Outages) -> anyhow::Result<Traces> {
    let ObservabilitySettings { logging, audit, metrics: _, otel, docs_public: _ } = settings;
    let file = match &audit.file {
        Some(path) if audit.enabled => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            Some(Mutex::new(file.with_context(|| format!("observability.audit.file {}", path.display()))?))
        }
        _ => None,
    };
    let audit_to_file = file.map(|file| lines(true, false, file, only_audit()));
    let (traced, traces) = traces::layer(otel)?;
    tracing_subscriber::registry()
        .with(traced)
        .with(log_lines(filter(logging, audit, outages), logging.format, stderr().is_terminal(), stderr))
        .with(audit_to_file)
        .try_init()
        .context("logging is already set up")?;
    Ok(traces)
}

fn log_lines<S, W>(
    filter: Targets,
    format: LogFormat,
    is_terminal: bool,
    writer: W,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let json = match format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    lines(json, is_terminal, writer, filter)
}

fn lines<S, W>(json: bool, colours: bool, writer: W, filter: Targets) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    if json {
        fmt::layer()
            .json()
            .flatten_event(true)
            // All spans a line is in: the request knows its id and trace, what is inside it does not.
            .with_current_span(false)
            .with_span_list(true)
            .with_writer(writer)
            .with_filter(filter)
            .boxed()
    } else {
        fmt::layer().with_ansi(colours).with_writer(writer).with_filter(filter).boxed()
    }
}

fn filter(logging: &LoggingSettings, audit: &AuditSettings, outages: Outages) -> Targets {
    let level = match logging.level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let mut filter = Targets::new().with_default(level);
    if level == LevelFilter::INFO {
        filter = filter.with_targets(NOISY.iter().map(|target| (*target, LevelFilter::WARN)));
    }
    if level <= LevelFilter::INFO && outages == Outages::Ours {
        filter = filter.with_target(RETRIES, LevelFilter::OFF);
    }
    // Audit lines do not depend on the level: a quiet log must not lose them.
    let audit_here = audit.enabled && audit.file.is_none();
    filter.with_target(AUDIT, if audit_here { LevelFilter::INFO } else { LevelFilter::OFF })
}

fn only_audit() -> Targets {
    Targets::new().with_target(AUDIT, LevelFilter::INFO)
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, format: LogFormat, is_terminal: bool, audit: AuditSettings) -> String {
        logged_by(Outages::Ours, level, format, is_terminal, audit)
    }

    fn logged_by(
        outages: Outages,
        level: LogLevel,
        format: LogFormat,
        is_terminal: bool,
        audit: AuditSettings,
    ) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let logging = LoggingSettings { level, access: true, format };
        let filter = filter(&logging, &audit, outages);
        let layer = log_lines(filter, format, is_terminal, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(answer = 42, "hello");
            tracing::info!(target: "temporalio_sdk_core::worker", "noise");
            tracing::error!(target: "temporalio_client::retry", "again");
            tracing::info!(target: "audit", "done");
        });
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_one_object_a_line_when_not_on_a_terminal() {
        let audit = AuditSettings { enabled: true, file: None };
        let text = logged(LogLevel::Info, LogFormat::Auto, false, audit.clone());
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!((&lines[0]["message"], &lines[0]["answer"]), (&"hello".into(), &42.into()));
        assert_eq!((&lines[1]["message"], &lines[1]["target"]), (&"done".into(), &"audit".into()));
        assert!(logged(LogLevel::Info, LogFormat::Auto, true, audit.clone()).contains("hello"));
        assert!(
            serde_json::from_str::<Value>(&logged(LogLevel::Info, LogFormat::Text, false, audit)).is_err()
        );
    }

    #[test]
    fn what_is_written_at_which_level() {
        for (level, audit, expected) in [
            (LogLevel::Debug, true, &["hello", "noise", "again", "done"][..]),
            (LogLevel::Info, true, &["hello", "done"]),
            (LogLevel::Error, true, &["done"]),
            (LogLevel::Info, false, &["hello"]),
        ] {
            let text = logged(level, LogFormat::Json, false, AuditSettings { enabled: audit, file: None });
            let messages: Vec<String> = text
                .lines()
                .map(|line| {
                    serde_json::from_str::<Value>(line).unwrap()["message"].as_str().unwrap().to_owned()
                })
                .collect();
            assert_eq!(messages, expected, "at {level:?}, audit {audit}");
        }
        let audit = AuditSettings { enabled: true, file: None };
        assert!(logged_by(Outages::Sdk, LogLevel::Warn, LogFormat::Json, false, audit).contains("again"));
        let to_file = AuditSettings { enabled: true, file: Some("audit.log".into()) };
        assert!(!logged(LogLevel::Info, LogFormat::Json, false, to_file).contains("done"));
    }
}
