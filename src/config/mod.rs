//! Settings: the compiled-in `config.yaml`, a profile of Temporal's own configuration, a file, the environment and
//! flags, laid over each other in that order.
//!
//! Every value keeps its [`Source`], so that whatever is wrong can be said with the key, where the value came from
//! and what is allowed. All problems are reported at once.

mod build;
mod check;
mod expand;
mod layers;
mod problem;
mod read;
mod settings;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path};

pub use problem::{ConfigError, Problem};
pub use settings::*;

use layers::Layers;
pub use layers::Source;

/// The commented defaults, as printed in the repository's `config.yaml`.
pub const DEFAULTS: &str = include_str!("../../config.yaml");

/// One command-line flag that sets a key.
#[derive(Debug, Clone)]
pub struct Flag {
    /// What set it, as shown in messages, for example `--port`.
    pub name: &'static str,
    /// Dotted path of the key, for example `server.port`.
    pub key: &'static str,
    /// The value as written.
    pub value: String,
}

/// Values from Temporal's own configuration.
#[derive(Clone, Default)]
pub struct Profile {
    /// Which profile of which file, as shown in messages.
    pub source: String,
    /// Dotted keys and their values.
    pub values: Vec<(&'static str, String)>,
}

impl Settings {
    /// As [`Settings::load_over`] an empty profile.
    ///
    /// # Errors
    /// The same.
    pub fn load(
        file: Option<&Path>,
        environment: &BTreeMap<String, String>,
        flags: &[Flag],
    ) -> Result<Self, ConfigError> {
        Self::load_over(&Profile::default(), file, environment, flags)
    }

    /// Lays the sources over each other and checks the result.
    ///
    /// # Errors
    /// Every unknown key, unset `${NAME}` and bad value, each with its key, source and what is allowed.
    pub fn load_over(
        profile: &Profile,
        file: Option<&Path>,
        environment: &BTreeMap<String, String>,
        flags: &[Flag],
    ) -> Result<Self, ConfigError> {
        let mut layers = Layers::from_defaults(DEFAULTS)?;
        layers.add_profile(profile);
        if let Some(path) = file {
            layers.add_file(path, environment)?;
        }
        layers.add_environment(environment);
        layers.add_flags(flags);
        build::settings(layers)
    }
}

/// The environment of this process. Text that is not UTF-8 is taken over with replacement characters.
pub fn process_environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect()
}
