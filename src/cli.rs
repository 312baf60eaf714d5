//! The command line.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{
    app::DevPlan,
    config::{ConfigError, Flag, Profile, Settings},
    dev_server::DevServerOptions,
};

/// Registry, dispatcher and scheduler for people who run Temporal workers.
#[derive(Debug, Parser)]
#[command(version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the HTTP API and run the registry against a given Temporal.
    Serve(ServeArgs),
    /// Start a Temporal dev server on this machine and serve against it, without auth.
    Dev(DevArgs),
    /// Run scripts, HTTP calls and human steps as a Temporal worker of a registry.
    Runner(RunnerArgs),
    /// Write everything the registry holds as JSON, beside replicas that run or without any.
    Export(ExportArgs),
    /// Put an export into a registry that is empty, or in the place of what it holds.
    Import(ImportArgs),
    /// Print the OpenAPI document.
    Openapi,
    /// Ask a running server whether it is ready; exit code 0 or 1.
    Healthcheck(HealthcheckArgs),
}

/// The configuration file.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// YAML file with the settings that differ from the defaults.
    #[arg(short = 'f', long = "config", value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Address to listen on.
    #[arg(long)]
    pub host: Option<String>,
    /// Port to listen on; 0 takes any free port and prints it.
    #[arg(long)]
    pub port: Option<String>,
    /// Temporal frontend.
    #[arg(long, value_name = "HOST:PORT")]
    pub temporal_address: Option<String>,
    /// Temporal namespace, created when missing.
    #[arg(long, value_name = "NAME")]
    pub temporal_namespace: Option<String>,
    /// trace, debug, info, warn or error.
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

impl ServeArgs {
    /// The settings for these flags.
    ///
    /// # Errors
    /// As [`Settings::load_over`].
    pub fn settings(
        self,
        profile: &Profile,
        environment: &BTreeMap<String, String>,
    ) -> Result<Settings, ConfigError> {
        let Self { config, host, port, temporal_address, temporal_namespace, log_level } = self;
        let flags = [
            ("--host", "server.host", host),
            ("--port", "server.port", port),
            ("--temporal-address", "temporal.address", temporal_address),
            ("--temporal-namespace", "temporal.namespace", temporal_namespace),
            ("--log-level", "observability.logging.level", log_level),
        ];
        Settings::load_over(profile, config.file.as_deref(), environment, &given(flags))
    }
}

/// `dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// The configuration file.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Port of the Temporal dev server.
    #[arg(long, default_value_t = 7233, value_parser = clap::value_parser!(u16).range(1..))]
    pub temporal_port: u16,
    /// Port of Temporal's web UI.
    #[arg(long, default_value_t = 8233, value_parser = clap::value_parser!(u16).range(1..))]
    pub ui_port: u16,
    /// Port to listen on; 0 takes any free port and prints it.
    #[arg(long)]
    pub port: Option<String>,
    /// SQLite file Temporal's state is kept in between runs.
    #[arg(long, default_value = ".temporal/dev.db", value_name = "FILE")]
    pub db: PathBuf,
    /// Keep Temporal's state in memory only.
    #[arg(long, conflicts_with = "db")]
    pub in_memory: bool,
    /// The `temporal` program; when not given, TEMPORAL_CLI says which, or it is looked for on PATH and in .tools.
    #[arg(long, value_name = "PROGRAM")]
    pub temporal_cli: Option<PathBuf>,
    /// trace, debug, info, warn or error.
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

impl DevArgs {
    /// What to start for these flags.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn plan(self, environment: &BTreeMap<String, String>) -> Result<DevPlan, ConfigError> {
        let Self { config, temporal_port, ui_port, port, db, in_memory, temporal_cli, log_level } = self;
        let this_machine = |port: u16| Some(format!("127.0.0.1:{port}"));
        // The server started here speaks plain text on loopback, whatever the environment says of another one.
        let flags = [
            ("--port", "server.port", port),
            ("--log-level", "observability.logging.level", log_level),
            ("--temporal-port", "temporal.address", this_machine(temporal_port)),
            ("of the command dev", "temporal.tls", Some("false".to_owned())),
            ("of the command dev", "temporal.api_key", Some(String::new())),
            ("of the command dev", "temporal.tls_ca", Some(String::new())),
            ("of the command dev", "temporal.tls_cert", Some(String::new())),
            ("of the command dev", "temporal.tls_key", Some(String::new())),
            ("of the command dev", "temporal.tls_domain", Some(String::new())),
            ("of the command dev", "server.host", Some("127.0.0.1".to_owned())),
            ("of the command dev", "auth.enabled", Some("false".to_owned())),
        ];
        let settings = Settings::load(config.file.as_deref(), environment, &given(flags))?;
        let server = DevServerOptions {
            program: temporal_cli,
            port: temporal_port,
            ui_port: Some(ui_port),
            db: (!in_memory).then_some(db),
        };
        Ok(DevPlan { settings, server })
    }
}

/// `runner`. Temporal's address, namespace and TLS come from the environment and from Temporal's own configuration, as
/// for `serve`.
#[derive(Debug, Args)]
pub struct RunnerArgs {
    /// YAML file that says what to run and where to register.
    #[arg(short = 'f', long = "config", value_name = "FILE")]
    pub file: PathBuf,
}

/// `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The configuration file of the registry.
    #[command(flatten)]
    pub config: ConfigFile,
    /// File to write to; standard output when left out.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The configuration file of the registry.
    #[command(flatten)]
    pub config: ConfigFile,
    /// An export.
    #[arg(value_name = "EXPORT")]
    pub export: PathBuf,
    /// Break glass: drop everything the registry holds, its counters too, and put the export in its place.
    #[arg(long)]
    pub replace: bool,
}

/// `healthcheck`.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// The configuration file of the server asked, for its host and port.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Address of the server, instead of the configured one, for example http://127.0.0.1:8080.
    #[arg(long)]
    pub url: Option<String>,
}

fn given<const N: usize>(flags: [(&'static str, &'static str, Option<String>); N]) -> Vec<Flag> {
    flags.into_iter().filter_map(|(name, key, value)| Some(Flag { name, key, value: value? })).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Command {
        Cli::try_parse_from(line.split(' ')).unwrap().command
    }

    #[test]
    fn definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_flags_reach_their_keys_and_beat_the_environment() {
        let line =
            "t serve --host ::1 --port 0 --temporal-address t:1 --temporal-namespace n --log-level warn";
        let Command::Serve(args) = parse(line) else { panic!("not serve") };
        let environment = BTreeMap::from([("TEMPORAL_REGISTRY_PORT".to_owned(), "1".to_owned())]);
        let settings = args.settings(&Profile::default(), &environment).unwrap();
        assert_eq!((settings.server.host.as_str(), settings.server.port), ("::1", 0));
        assert_eq!((settings.temporal.address.as_str(), settings.temporal.namespace.as_str()), ("t:1", "n"));
        assert_eq!(settings.observability.logging.level, crate::config::LogLevel::Warn);

        let Command::Serve(args) = parse("t serve --port x") else { panic!("not serve") };
        let message = args.settings(&Profile::default(), &BTreeMap::new()).unwrap_err().to_string();
        assert!(message.contains("server.port: is \"x\" (flag --port)"), "{message}");
    }

    #[test]
    fn dev_is_open_on_loopback_only_whatever_the_environment_says() {
        let environment = [
            ("TEMPORAL_ADDRESS", "cloud:7233"),
            ("TEMPORAL_TLS", "1"),
            ("TEMPORAL_API_KEY", "key"),
            ("TEMPORAL_REGISTRY_HOST", "0.0.0.0"),
            ("TEMPORAL_REGISTRY_TOKEN", "secret"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let Command::Dev(args) = parse("t dev --temporal-port 7000 --ui-port 7001 --port 7002") else {
            panic!("not dev")
        };
        let DevPlan { settings, server } = args.plan(&environment.into()).unwrap();
        assert_eq!(settings.temporal.url(), "http://127.0.0.1:7000");
        assert!(!settings.auth.enabled && settings.server.is_loopback());
        assert_eq!((settings.server.port, server.port, server.ui_port), (7002, 7000, Some(7001)));
        assert_eq!(server.db, Some(PathBuf::from(".temporal/dev.db")));

        let Command::Dev(args) = parse("t dev --in-memory") else { panic!("not dev") };
        assert_eq!(args.plan(&BTreeMap::new()).unwrap().server.db, None);
    }
}
