//! argv and exit code.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Write, stdout},
    process::ExitCode,
};

use clap::Parser;
use temporal_registry::{
    app,
    cli::{Cli, Command, ConfigFile},
    config::{ConfigError, Settings, process_environment},
    http,
    runner::RunnerConfig,
    telemetry::{self, Outages},
};

/// Gives back what is no longer used: with glibc's allocator the memory of a replica that packs and unpacks states on
/// several threads grows for hours.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command, &process_environment()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("temporal-registry: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, environment: &BTreeMap<String, String>) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => {
            let settings = args.settings(&app::profile(environment)?, environment)?;
            let _traces = telemetry::init(&settings.observability, Outages::Ours)?;
            app::serve(settings, app::stop_on_signal()?, |url| println!("listening on {url}")).await
        }
        Command::Dev(args) => {
            let plan = args.plan(environment)?;
            let _traces = telemetry::init(&plan.settings.observability, Outages::Ours)?;
            app::dev(plan, app::stop_on_signal()?).await
        }
        Command::Runner(args) => {
            let config = RunnerConfig::load(&args.file)?;
            let settings = Settings::load_over(&app::profile(environment)?, None, environment, &[])?;
            let _traces = telemetry::init(&settings.observability, Outages::Sdk)?;
            app::run_worker(config, &settings.temporal, app::stop_on_signal()?).await
        }
        Command::Export(args) => {
            let settings = config_of(&args.config, environment)?;
            let _traces = telemetry::init(&settings.observability, Outages::Ours)?;
            app::export(&settings, args.output.as_deref()).await
        }
        Command::Import(args) => {
            let settings = config_of(&args.config, environment)?;
            let _traces = telemetry::init(&settings.observability, Outages::Ours)?;
            app::import(&settings, &args.export, args.replace).await
        }
        Command::Openapi => {
            let document = http::openapi::document().to_pretty_json()?;
            // A reader that has seen enough, such as `head`, is no failure.
            match writeln!(stdout(), "{document}") {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
                _ => Ok(()),
            }
        }
        Command::Healthcheck(args) => {
            let settings = Settings::load(args.config.file.as_deref(), environment, &[])?;
            app::healthcheck(args.url.as_deref(), &settings.server).await
        }
    }
}

fn config_of(config: &ConfigFile, environment: &BTreeMap<String, String>) -> Result<Settings, ConfigError> {
    Settings::load_over(&app::profile(environment)?, config.file.as_deref(), environment, &[])
}
